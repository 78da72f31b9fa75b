"""What is measured of a trained model on scenes and on data sets of photographs."""
