package sse

import (
	"bytes"
	"strconv"
)

// A jsonScanner looks for the marker of a last event in the JSON of an event. It tracks
// strings, brackets and the rule's path, and does not validate anything else: the SDKs
// return an error for invalid JSON.
type jsonScanner struct {
	depth  int  // number of open brackets
	onPath int  // number of them, from the outermost, that are on the rule's path
	closed bool // an object on the path has been closed
	marked bool // a marker has been found

	// The current member or element of the innermost object or array on the path.
	inKey   bool // before its colon
	matches bool // it is on the path

	inString bool
	escaped  bool // the next byte follows a backslash
	keep     bool // the string is copied to word
	word     word
}

// isObject reports whether the JSON so far is a whole object.
func (j *jsonScanner) isObject() bool { return j.closed && j.depth == 0 }

func (j *jsonScanner) scan(p []byte, r *rule) {
	for i := 0; i < len(p); i++ {
		if j.inString {
			n := j.scanString(p[i:])
			if n < 0 {
				return
			}
			i += n
			j.endString(r)
			continue
		}
		switch c := p[i]; c {
		case '"':
			j.inString = true
			j.keep = j.isCurrent() && (j.inKey || j.matches && j.onPath == len(r.path))
			j.word.reset()
		case '{', '[':
			j.open(c, r)
		case '}', ']':
			j.close()
		case ',':
			if j.isCurrent() && r.path[j.onPath-1] != inArray {
				j.inKey = true
			}
		case ':':
			j.inKey = false
		}
	}
}

// isCurrent reports whether the innermost open bracket is on the path.
func (j *jsonScanner) isCurrent() bool { return j.onPath > 0 && j.onPath == j.depth }

func (j *jsonScanner) open(bracket byte, r *rule) {
	isArray := bracket == '['
	isNext := j.onPath == j.depth && j.onPath < len(r.path) && (j.depth == 0 || j.matches)
	if isNext && isArray == (r.path[j.onPath] == inArray) {
		j.onPath++
		j.inKey, j.matches = !isArray, isArray
	}
	j.depth++
}

func (j *jsonScanner) close() {
	if j.isCurrent() {
		j.onPath--
		j.inKey, j.matches = false, true
		j.closed = true
	}
	j.depth--
}

// scanString returns the index of the quote that ends the current string, or -1.
func (j *jsonScanner) scanString(p []byte) int {
	from := 0
	if j.escaped {
		j.escaped = false
		from = 1
	}
	for {
		end := indexFrom(p, '"', from)
		escaped := endsInEscape(p[from:end])
		if escaped && end < len(p) {
			from = end + 1
			continue
		}
		if j.keep {
			j.word.add(p[:end])
		}
		if end == len(p) {
			j.escaped = escaped
			return -1
		}
		return end
	}
}

// endsInEscape reports whether the byte after p is escaped: p ends in an odd number of
// backslashes.
func endsInEscape(p []byte) bool {
	n := len(p)
	for n > 0 && p[n-1] == '\\' {
		n--
	}
	return (len(p)-n)%2 == 1
}

func (j *jsonScanner) endString(r *rule) {
	j.inString = false
	if !j.keep {
		return
	}
	if j.inKey {
		step := r.path[j.onPath-1]
		j.matches = len(j.word.bytes()) >= len(step) && string(j.word.unescaped()) == step
	} else if word := j.word.unescaped(); r.hasMarker(word) || r.markers == nil && len(word) > 0 {
		j.marked = true
	}
}

// maxWord is the length of the longest marker if each of its characters is escaped in
// JSON, as \u0072.
const maxWord = 6 * len("response.incomplete")

// A word is a string that is compared with others. A longer one is kept up to its
// first maxWord bytes, and equals none.
type word struct {
	buf [maxWord + 1]byte
	n   int
}

func (w *word) reset()        { w.n = 0 }
func (w *word) add(p []byte)  { w.n += copy(w.buf[w.n:], p) }
func (w *word) bytes() []byte { return w.buf[:w.n] }

// unescaped returns the string that the word stands for inside a JSON string. It
// allocates only if the word has a backslash.
func (w *word) unescaped() []byte {
	if bytes.IndexByte(w.bytes(), '\\') < 0 {
		return w.bytes()
	}
	// Go's escapes are those of JSON, except for \/ and surrogates, which no marker contains.
	s, err := strconv.Unquote(`"` + string(w.bytes()) + `"`)
	if err != nil {
		return w.bytes()
	}
	return []byte(s)
}
