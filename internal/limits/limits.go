// Package limits fills in the limits of a service that are not set.
package limits

import "reflect"

// OrDefaults gives l with each number that is not above zero taken from defaults. L is a
// struct, whose fields of other kinds stay as they are.
func OrDefaults[L any](l, defaults L) L {
	have, or := reflect.ValueOf(&l).Elem(), reflect.ValueOf(&defaults).Elem()
	for i := range have.NumField() {
		if f := have.Field(i); f.CanInt() && f.Int() <= 0 || f.CanUint() && f.Uint() == 0 {
			f.Set(or.Field(i))
		}
	}
	return l
}
