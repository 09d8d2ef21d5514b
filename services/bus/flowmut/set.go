package flow

import "math/bits"

// set is a set of numbers below a bound, made for finding the next one: a bit
// each, and above them a bit for each word that has any.
type set struct {
	words, summary []uint64
	count          int
}

// grow makes room for numbers below n.
func (s *set) grow(n int) {
	for len(s.words)*64 < n {
		s.words = append(s.words, 0)
	}
	for len(s.summary)*64 < len(s.words) {
		s.summary = append(s.summary, 0)
	}
}

func (s *set) has(i int) bool { return s.words[i>>6]&(1<<(i&63)) != 0 }

func (s *set) add(i int) {
	if s.has(i) {
		return
	}
	s.words[i>>6] |= 1 << (i & 63)
	s.summary[i>>12] |= 1 << (i >> 6 & 63)
	s.count++
}

func (s *set) remove(i int) {
	if !s.has(i) {
		return
	}
	s.words[i>>6] &^= 1 << (i & 63)
	if s.words[i>>6] == 0 {
		s.summary[i>>12] &^= 1 << (i >> 6 & 63)
	}
	s.count--
}

// next is the first member from i on, or -1.
func (s *set) next(i int) int {
	if s.count == 0 || i>>6 >= len(s.words) {
		return -1
	}
	if rest := s.words[i>>6] >> (i & 63); rest != 0 {
		return i + bits.TrailingZeros64(rest)
	}
	w := nextBit(s.summary, i>>6+1)
	if w < 0 {
		return -1
	}
	return w<<6 + bits.TrailingZeros64(s.words[w])
}

// previous is the last member up to i, or -1.
func (s *set) previous(i int) int {
	if s.count == 0 || i < 0 {
		return -1
	}
	if rest := s.words[i>>6] << (63 - i&63); rest != 0 {
		return i - bits.LeadingZeros64(rest)
	}
	w := previousBit(s.summary, i>>6-1)
	if w < 0 {
		return -1
	}
	return w<<6 + 63 - bits.LeadingZeros64(s.words[w])
}

// nextBit is the first bit from i on, or -1.
func nextBit(words []uint64, i int) int {
	for w := i >> 6; w < len(words); w++ {
		rest := words[w]
		if w == i>>6 {
			rest &= ^uint64(0) << (i & 63)
		}
		if rest != 0 {
			return w<<6 + bits.TrailingZeros64(rest)
		}
	}
	return -1
}

// previousBit is the last bit up to i, or -1.
func previousBit(words []uint64, i int) int {
	if i < 0 {
		return -1
	}
	for w := i >> 6; w >= 0; w-- {
		rest := words[w]
		if w == i>>6 {
			rest &= ^uint64(0) >> (63 - i&63)
		}
		if rest != 0 {
			return w<<6 + 63 - bits.LeadingZeros64(rest)
		}
	}
	return -1
}
