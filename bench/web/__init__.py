"""What the public interface costs."""
