package session

// FeatureCalls says that requests of the distributed API travel with their
// deadline, can be called off, and are answered in one frame where that is long
// enough.
const FeatureCalls = "calls"
