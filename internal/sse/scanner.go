// Package sse recognizes the last event of a model's answer in an event stream, without
// holding the stream back. It knows which endpoints have a last event, and nothing of HTTP.
//
// Streams are parsed as the standard says
// (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream),
// which accepts more than the SDKs do: a line may end in CR alone, and a byte order mark
// may precede the first one.
package sse

import (
	"bytes"
	"strings"
)

// A rule describes the last event of a stream.
type rule struct {
	path    []string // of a string in the event's JSON: keys of objects, and inArray
	markers []string // values of that string, and names of the event; nil: any string but "", and no name
	done    bool     // "data: [DONE]" is a last event as well
}

// inArray stands in a path for any element of an array.
const inArray = ""

func (r *rule) hasMarker(word []byte) bool {
	for _, m := range r.markers {
		if string(word) == m {
			return true
		}
	}
	return false
}

var rules = []struct {
	suffix string // of the endpoint's path
	rule   rule
}{
	// Some providers never send [DONE], and some send an empty finish_reason in each chunk.
	{"/completions", rule{path: []string{"choices", inArray, "finish_reason"}, done: true}},
	{"/messages", rule{path: []string{"type"}, markers: []string{"message_stop"}}},
	{"/responses", rule{path: []string{"type"}, markers: []string{"response.completed", "response.incomplete", "response.failed"}}},
}

// A Scanner scans an event stream in pieces of any size. It does not retain them, and its
// memory is constant. The zero Scanner knows of no last event and only finds data lines.
// A Scanner must not be used concurrently.
type Scanner struct {
	rule     *rule // nil: unknown
	complete bool

	// The current line.
	field    field
	word     word // the field's name, then the event's name
	done     int  // number of bytes of [DONE] that the value has so far; -1: it has others
	notFirst bool
	afterCR  bool // the line before ended in CR, to which a LF belongs

	// The current event.
	data   jsonScanner
	marked bool // by its name
	ping   bool
}

// A field is the part of a line that is being scanned.
type field uint8

const (
	fieldName field = iota
	dataValue
	eventValue
	otherValue // of another field, or a comment
)

// NewScanner returns a Scanner for a stream of the endpoint with the escaped URL path, and
// reports whether the last event of that endpoint's streams is known:
//
//   - .../chat/completions, .../completions: [DONE], or a choice whose finish_reason is a
//     string other than ""
//   - .../messages: message_stop
//   - .../responses: response.completed, response.incomplete or response.failed
//
// If it is not known, the Scanner only finds data lines.
func NewScanner(path string) (s Scanner, known bool) {
	for i := range rules {
		if strings.HasSuffix(path, rules[i].suffix) {
			return Scanner{rule: &rules[i].rule}, true
		}
	}
	return Scanner{}, false
}

// Complete reports whether a last event has been seen. More events may follow it. An
// error event is not a last event.
//
// The data of a last event must be a whole JSON object, and a blank line must follow it:
// openai-go and anthropic-sdk-go discard an event without the blank line, and no SDK
// accepts an object that is cut off. The JSON is not validated further. [DONE] needs no
// line end, since no content can be lost with it.
func (s *Scanner) Complete() bool { return s.complete }

// Scan scans the next piece of the stream. It reports whether the piece contains a part of
// a data line, from its colon to its end. Comments and other fields do not count, nor does
// the data of an event that a preceding line named ping or keepalive.
func (s *Scanner) Scan(p []byte) bool {
	hasData := false
	lf, cr := -1, -1 // the next ones at or after i, if not less
	for i := 0; i < len(p); {
		if s.afterCR {
			s.afterCR = false
			if p[i] == '\n' {
				i++
				continue
			}
		}
		if lf < i {
			lf = indexFrom(p, '\n', i)
		}
		if cr < i {
			cr = indexFrom(p, '\r', i)
		}
		end := min(lf, cr)
		if s.scanLine(p[i:end]) {
			hasData = true
		}
		if end == len(p) {
			break
		}
		s.endLine()
		s.afterCR = end == cr
		i = end + 1
	}
	return hasData
}

// indexFrom returns the index of the first c in p from i on, or len(p).
func indexFrom(p []byte, c byte, i int) int {
	if n := bytes.IndexByte(p[i:], c); n >= 0 {
		return i + n
	}
	return len(p)
}

// scanLine scans a part of a line without its end.
func (s *Scanner) scanLine(p []byte) bool {
	if s.field == fieldName {
		name, value, ok := bytes.Cut(p, colon)
		s.word.add(name)
		if !ok {
			return false
		}
		s.endName()
		p = value
	}
	switch s.field {
	case dataValue:
		if s.rule != nil && !s.complete {
			s.scanDone(p)
			s.data.scan(p, s.rule)
		}
		return !s.ping
	case eventValue:
		s.word.add(p)
	}
	return false
}

var colon = []byte(":")

func (s *Scanner) endName() {
	name := s.word.bytes()
	if !s.notFirst {
		name = bytes.TrimPrefix(name, []byte("\ufeff"))
	}
	switch string(name) {
	case "data":
		s.field = dataValue
		s.done = 0
	case "event":
		s.field = eventValue
	default:
		s.field = otherValue
	}
	s.word.reset()
}

// scanDone looks for [DONE] at the start of a data line, where JSON cannot have it.
func (s *Scanner) scanDone(p []byte) {
	const done = "[DONE]"
	if !s.rule.done {
		return
	}
	for _, c := range p {
		switch {
		case s.done < 0:
			return
		case s.done == 0 && (c == ' ' || c == '\t'):
		case c != done[s.done]:
			s.done = -1
		default:
			s.done++
			if s.done == len(done) {
				s.complete = true
				return
			}
		}
	}
}

func (s *Scanner) endLine() {
	if s.field == fieldName {
		if s.word.n == 0 {
			s.endEvent()
		} else {
			s.endName() // a line without a colon is a field without a value
		}
	}
	if s.field == eventValue {
		s.endEventName()
	}
	s.field = fieldName
	s.word.reset()
	s.notFirst = true
}

func (s *Scanner) endEventName() {
	name := bytes.TrimPrefix(s.word.bytes(), []byte(" "))
	s.marked = s.rule != nil && s.rule.hasMarker(name)
	// OpenAI sends keepalive on .../responses, and Anthropic ping on .../messages.
	s.ping = string(name) == "ping" || string(name) == "keepalive"
}

func (s *Scanner) endEvent() {
	if s.data.isObject() && (s.marked || s.data.marked) {
		s.complete = true
	}
	s.data = jsonScanner{}
	s.marked = false
	s.ping = false
}
