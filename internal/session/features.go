package session

// FeatureCalls says that requests of the distributed API travel with their
// deadline, can be called off, and are answered in one frame where that is long
// enough.
const FeatureCalls = "calls"

// Features of which only those ends speak that have them (docs/extensions.md).
const (
	FeatureReplies = "replies" // requests of the distributed API may be answered by their reply
	FeatureEnrol   = "enrol"   // a master's: it enrols agents itself, and understands held registrations
	FeatureAnswers = "answers" // a worker's: it takes answers of the master's daemons in one frame
)
