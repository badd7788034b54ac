package queue

import "container/heap"

// Rank says who waits for a [Turn].
type Rank uint8

// The ranks, in the order in which they get slots.
const (
	First    Rank = iota // all others wait for it
	Waited               // somebody does
	Unwaited             // nobody does
	ranks
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

// Raise makes an Unwaited turn a Waited one, which comes now. It does nothing to others.
func (t *Turn) Raise() {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	if t.rank == Unwaited {
		t.queue.turns++
		t.came = t.queue.turns
		t.move(Waited)
	}
}

// Lower makes a Waited turn an Unwaited one. It does nothing to others.
func (t *Turn) Lower() {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	if t.rank == Waited {
		t.move(Unwaited)
	}
}

// move gives t another rank. mu is held.
func (t *Turn) move(rank Rank) {
	if t.state == waiting {
		t.queue.ranks[t.rank]--
		t.queue.ranks[rank]++
	}
	t.rank = rank
	if t.state == waiting {
		heap.Fix(&t.queue.waiting, t.index)
	}
}

// Place is where a [Turn] stands in the queue.
type Place struct {
	Waits  bool // for a slot; what follows is zero otherwise
	Ahead  int  // how many have a slot, or get one before the turn, at most
	Paused bool // nobody gets a slot for now
}

// Place returns where the turn stands. It counts those of the same rank as if all were before it,
// so that it takes no longer if many wait.
func (t *Turn) Place() Place {
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.state != waiting {
		return Place{}
	}
	ahead := q.held - 1 // all but t
	for _, n := range q.ranks[:t.rank+1] {
		ahead += n
	}
	return Place{true, ahead, q.pause > 0}
}
