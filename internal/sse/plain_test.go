package sse

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// A verdict is what a plain parser finds in a stream that it has in memory as a whole.
type verdict struct {
	complete bool
	judged   bool   // false: a Scanner may accept an event with invalid JSON
	isData   []bool // for each byte: it belongs to a data line that Scan reports, from its colon to its end
}

var lineEnd = regexp.MustCompile(`\r\n|\n|\r`)

// parse returns the verdict on the stream of an endpoint.
func parse(path string, stream []byte) verdict {
	v := verdict{judged: true, isData: make([]bool, len(stream))}
	pos := len(stream) - len(bytes.TrimPrefix(stream, []byte("\ufeff")))
	name, data := "", [][]byte{}
	for {
		end, next := len(stream), len(stream)
		found := lineEnd.FindIndex(stream[pos:])
		if found != nil {
			end, next = pos+found[0], pos+found[1]
		}
		field, value, hasValue := bytes.Cut(stream[pos:end], []byte(":"))
		switch {
		case string(field) == "data":
			if hasValue && name != "ping" && name != "keepalive" {
				for i := pos + len("data"); i < min(end+1, len(stream)); i++ {
					v.isData[i] = true
				}
			}
			if strings.HasSuffix(path, "/completions") && bytes.HasPrefix(bytes.TrimLeft(value, " \t"), []byte("[DONE]")) {
				v.complete = true
			}
			data = append(data, bytes.TrimPrefix(value, []byte(" ")))
		case string(field) == "event":
			name = string(bytes.TrimPrefix(value, []byte(" ")))
		case end == pos && found != nil:
			v.judge(path, name, bytes.Join(data, []byte("\n")))
			name, data = "", nil
		}
		if found == nil {
			return v
		}
		pos = next
	}
}

// judge adds the verdict on an event.
func (v *verdict) judge(path, name string, data []byte) {
	if !json.Valid(data) {
		// A Scanner accepts some invalid JSON, but nothing without these brackets.
		if bytes.Contains(data, []byte("{")) && bytes.ContainsAny(data, "}]") {
			v.judged = false
		}
		return
	}
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var marked bool
	switch path[strings.LastIndexByte(path, '/'):] {
	case "/completions":
		marked = contains(decoder, []string{"choices", "*", "finish_reason"}, func(s string) bool { return s != "" })
	case "/messages":
		isLast := func(s string) bool { return s == "message_stop" }
		marked = isLast(name) || contains(decoder, []string{"type"}, isLast)
	case "/responses":
		isLast := func(s string) bool {
			return s == "response.completed" || s == "response.incomplete" || s == "response.failed"
		}
		marked = isLast(name) || contains(decoder, []string{"type"}, isLast)
	}
	v.complete = v.complete || marked
}

// contains reads a value, and reports whether it has a string at path for which want
// returns true. The elements of an array are at "*". A nil path is that of no string.
func contains(d *json.Decoder, path []string, want func(string) bool) bool {
	below := func(step string) []string {
		if len(path) == 0 || path[0] != step {
			return nil
		}
		return path[1:]
	}
	token, err := d.Token()
	if err != nil {
		panic(err)
	}
	found := false
	switch token {
	case json.Delim('{'):
		for d.More() {
			key, _ := d.Token()
			step := key.(string)
			if step == "*" {
				step = "" // in no path
			}
			if contains(d, below(step), want) {
				found = true
			}
		}
		d.Token()
	case json.Delim('['):
		for d.More() {
			if contains(d, below("*"), want) {
				found = true
			}
		}
		d.Token()
	default:
		s, ok := token.(string)
		found = ok && path != nil && len(path) == 0 && want(s)
	}
	return found
}
