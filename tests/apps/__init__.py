"""Small applications on the product's own parts, for tests from outside."""
