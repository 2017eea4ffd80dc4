"""What a trained model looks at, which photos it finds alike, and where two models differ."""
