package queue

// Rank says who waits for a [Turn].
type Rank uint8

// The ranks, in the order in which they get slots.
const (
	First    Rank = iota // all others wait for it
	Waited               // somebody does
	Unwaited             // nobody does
)

// before reports whether t gets a slot before other does. mu is held.
func (t *Turn) before(other *Turn) bool {
	switch {
	case t.rank != other.rank:
		return t.rank < other.rank
	case t.rank == Unwaited && t.due != other.due:
		return t.due < other.due
	}
	return t.came < other.came
}

// order has the waiting turns as a heap, for package container/heap: the next one is its first.
type order []*Turn

func (o order) Len() int           { return len(o) }
func (o order) Less(i, j int) bool { return o[i].before(o[j]) }

func (o order) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].index, o[j].index = i, j
}

// Push appends a *Turn.
func (o *order) Push(x any) {
	t := x.(*Turn)
	t.index = len(*o)
	*o = append(*o, t)
}

// Pop takes the last one out.
func (o *order) Pop() any {
	last := len(*o) - 1
	t := (*o)[last]
	(*o)[last] = nil // so that it can be collected
	*o = (*o)[:last]
	return t
}
