package portal

// Whether a message was written in Teams or is a post of ours is judged once. Between
// that and its row in Matrix may be minutes, in which its pictures are fetched and
// Teams is read back for a post in doubt. So what counts as written in Teams is known
// from the moment of that judgement.

// delivering begins the delivery of a message from Teams; done must be called when
// its rows are stored, or when that has failed and it will be judged anew.
func (e *Echo) delivering(portal, messageID string) (done func()) {
	p, release := e.use(portal)
	return func() {
		e.mu.Lock()
		delete(p.news, messageID)
		e.mu.Unlock()
		release()
	}
}

// setNews says that a message that is being delivered was written in Teams. Only who
// judges may call it.
func (e *Echo) setNews(portal, messageID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.portals[portal]; p != nil {
		p.news[messageID] = struct{}{}
	}
}

// isNews reports whether a message is being delivered as written in Teams.
func (e *Echo) isNews(portal, messageID string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.portals[portal]
	if p == nil {
		return false
	}
	_, news := p.news[messageID]
	return news
}
