"""The fold from events to the state of a run, part by part; residency puts them together."""
