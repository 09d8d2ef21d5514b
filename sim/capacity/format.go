package main

import (
	"math"
	"slices"
	"strconv"
)

// number has three digits that count: nothing here is known better.
func number(f float64) string {
	if f == 0 || math.IsInf(f, 0) || math.IsNaN(f) {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(f))))
	scale := math.Pow(10, float64(digits))
	rounded := math.Round(f*scale) / scale
	return grouped(strconv.FormatFloat(rounded, 'f', max(digits, 0), 64))
}

// grouped puts commas between thousands, and leaves zeros behind the point out.
func grouped(s string) string {
	whole, fraction := s, ""
	if i := slices.Index([]byte(s), '.'); i >= 0 {
		whole, fraction = s[:i], s[i:]
		for fraction != "" && (fraction[len(fraction)-1] == '0' || fraction == ".") {
			fraction = fraction[:len(fraction)-1]
		}
	}
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return whole + fraction
}

// size is in bytes.
func size(f float64) string {
	for _, u := range []struct {
		of   float64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if f >= u.of {
			return number(f/u.of) + " " + u.name
		}
	}
	return number(f) + " B"
}

func amount(f float64, unit string) string {
	switch unit {
	case "B":
		return size(f)
	case "B/s":
		return size(f) + "/s"
	case "s":
		return number(f) + " s"
	}
	return number(f) + unit
}

// sortBy sorts by a number, the least first.
func sortBy[T any](list []T, by func(T) float64) {
	slices.SortStableFunc(list, func(a, b T) int {
		switch x, y := by(a), by(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
}
