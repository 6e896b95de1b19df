package teamstest

// edgeState is what the edge keeps in a Tenant.
type edgeState struct{}

// installEdge fills t.seams. It runs before the server accepts requests, when
// t.url, t.clock, t.ids and t.opts are set.
func (t *Tenant) installEdge() {}
