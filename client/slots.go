package client

// slots are values that records point to by their place, so that the garbage collector
// has nothing to look for in the records, of which there are tens of thousands.
type slots[T any] struct {
	all    []T
	unused []int32
}

func (s *slots[T]) put(v T) int32 {
	if n := len(s.unused) - 1; n >= 0 {
		i := s.unused[n]
		s.unused = s.unused[:n]
		s.all[i] = v
		return i
	}
	s.all = append(s.all, v)
	return int32(len(s.all) - 1) // there are no 2^31 at a time
}

func (s *slots[T]) drop(i int32) {
	var none T
	s.all[i] = none
	if s.unused = append(s.unused, i); len(s.unused) == len(s.all) {
		s.all, s.unused = nil, nil
	}
}
