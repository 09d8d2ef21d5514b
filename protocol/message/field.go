package message

import (
	"bytes"
	"encoding/json"
)

// fieldOf gives the value of one field of a body; nil where it has none. Its name is exact, as
// encoding/json's are not: an application's `Code` is no code. Of several it is the last one.
func fieldOf(body []byte, name string) (value []byte, err error) {
	if len(body) == 0 {
		return nil, nil
	}
	if !isObject(body) {
		return nil, NoObject()
	}
	at := skipMark(body, 0, '{')
	for at != wrong && skipMark(body, at, '}') == wrong {
		key := skipMark(body, at, '"')
		end := skipText(body, key)
		from := skipSpace(body, skipMark(body, end, ':'))
		to := skipValue(body, from, 1)
		if isNamed(body[key:end-1], name) {
			value = body[from:to]
		}
		at = skipMark(body, to, ',')
	}
	return value, nil
}

// isNamed tells whether what stands between the quotes of a key is a name.
func isNamed(key []byte, name string) bool {
	if bytes.IndexByte(key, '\\') < 0 {
		return string(key) == name
	}
	var plain string
	return json.Unmarshal(append(append([]byte{'"'}, key...), '"'), &plain) == nil && plain == name
}
