package metrics

// SessionOpened counts a session that has just been opened.
func (s *Set) SessionOpened() {
	if s != nil {
		s.sessions.Inc()
	}
}

// SessionClosed takes back one SessionOpened.
func (s *Set) SessionClosed() {
	if s != nil {
		s.sessions.Dec()
	}
}

// ConnectionRefused counts a connection that was not let in.
func (s *Set) ConnectionRefused(reason string) {
	if s != nil {
		s.refused.WithLabelValues(s.connectionReasons.take(reason)).Inc()
	}
}

// Received counts n bytes that came from another node.
func (s *Set) Received(n int64) {
	if s != nil && n > 0 {
		s.received.Add(float64(n))
	}
}

// Sent counts n bytes that went to another node.
func (s *Set) Sent(n int64) {
	if s != nil && n > 0 {
		s.sent.Add(float64(n))
	}
}

// FrameReceived counts one frame that came from another node.
func (s *Set) FrameReceived() {
	if s != nil {
		s.framesIn.Inc()
	}
}

// FrameSent counts one frame that went to another node.
func (s *Set) FrameSent() {
	if s != nil {
		s.framesOut.Inc()
	}
}

// FrameRefused counts a frame that was not accepted.
func (s *Set) FrameRefused(reason string) {
	if s != nil {
		s.refusedFrame.WithLabelValues(s.frameReasons.take(reason)).Inc()
	}
}

// Round records a finished round of the integrity check and what it took.
func (s *Set) Round(result string, seconds float64) {
	if s != nil {
		s.rounds.WithLabelValues(s.results.take(result)).Inc()
		s.roundSeconds.Observe(seconds)
	}
}

// Files says how many synchronised files of this node are in the state.
func (s *Set) Files(state string, n int) {
	if s != nil {
		s.files.WithLabelValues(s.states.take(state)).Set(float64(n))
	}
}

// ManifestFiles says how many files the last look at the disk found.
func (s *Set) ManifestFiles(n int) {
	if s != nil {
		s.manifest.Set(float64(n))
	}
}

// Worker says how a worker stands: whether it has the master's files, and how
// many seconds ago that was last known to be so.
func (s *Set) Worker(name string, inStep bool, lagSeconds float64) {
	if s != nil {
		name = s.workers.take(name)
		s.inStep.WithLabelValues(name).Set(number(inStep))
		s.lag.WithLabelValues(name).Set(lagSeconds)
	}
}

// ForgetWorker removes the figures of a worker that has left.
func (s *Set) ForgetWorker(name string) {
	if s != nil && s.workers.drop(name) {
		s.inStep.DeleteLabelValues(name)
		s.lag.DeleteLabelValues(name)
	}
}

// QueueDepth says how many things wait in the queue.
func (s *Set) QueueDepth(queue string, n int) {
	if s != nil {
		s.queue.WithLabelValues(s.queues.take(queue)).Set(float64(n))
	}
}

// ForgetQueue removes the figure of a queue that has gone.
func (s *Set) ForgetQueue(queue string) {
	if s != nil && s.queues.drop(queue) {
		s.queue.DeleteLabelValues(queue)
	}
}

// HeldBack says whether the master holds a change back.
func (s *Set) HeldBack(held bool) {
	if s != nil {
		s.heldBack.Set(number(held))
	}
}

// BundleBytes counts n bytes of a bundle sent or received.
func (s *Set) BundleBytes(n int64) {
	if s != nil && n > 0 {
		s.bundle.Add(float64(n))
	}
}

// BundleCache says how many bytes of compressed files are kept.
func (s *Set) BundleCache(n int64) {
	if s != nil {
		s.cache.Set(float64(n))
	}
}

// Hashed counts n bytes read for a digest.
func (s *Set) Hashed(n int64) {
	if s != nil && n > 0 {
		s.hashed.Add(float64(n))
	}
}

// LogLine counts one line of the log.
func (s *Set) LogLine(level string) {
	if s != nil {
		s.logLines.WithLabelValues(s.levels.take(level)).Inc()
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
