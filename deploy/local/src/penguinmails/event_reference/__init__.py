"""What subscribers are given, made from the registry of events: AsyncAPI document, guide, golden examples."""
