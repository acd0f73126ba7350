"""The OpenAPI document, and the tables of operations and answers that it is made from."""
