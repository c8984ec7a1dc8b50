"""Texts that events carry, each with an example for the documents made from the contracts."""

from typing import Annotated

from pydantic import Field

Email = Annotated[str, Field(examples=["ada@acme.example"])]
PersonName = Annotated[str, Field(examples=["Ada Acme"])]
CompanyName = Annotated[str, Field(examples=["Acme"])]
Name = Annotated[str, Field(examples=["Spring"])]
"""Of a campaign, a list, a template or a workspace."""
Slug = Annotated[str, Field(examples=["spring"])]
DomainName = Annotated[str, Field(examples=["mail.acme.example"])]
FieldName = Annotated[str, Field(examples=["name"])]
RequestId = Annotated[str, Field(examples=["01932c07-209d-7a5c-8e66-6e3f0d9a5b11"])]
