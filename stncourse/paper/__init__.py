"""The paper's experiments, trained again."""
