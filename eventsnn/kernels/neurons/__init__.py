"""What the neurons do between events, one folder for each model, behind one door."""
