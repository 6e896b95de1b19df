package matrix

// recent remembers the last ids that were added, so many at most.
type recent struct {
	size   int
	ids    map[string]struct{}
	order  []string
	oldest int
}

func newRecent(size int) *recent { return &recent{size: size, ids: map[string]struct{}{}} }

func (r *recent) add(id string) {
	if id == "" || r.has(id) {
		return
	}
	r.ids[id] = struct{}{}
	if len(r.order) < r.size {
		r.order = append(r.order, id)
		return
	}
	delete(r.ids, r.order[r.oldest])
	r.order[r.oldest] = id
	r.oldest = (r.oldest + 1) % r.size
}

func (r *recent) has(id string) bool {
	_, known := r.ids[id]
	return known
}
