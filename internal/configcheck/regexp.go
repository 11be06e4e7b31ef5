package configcheck

import (
	"math"
	"unicode/utf16"
)

// regexpProblem returns what is wrong with a JavaScript regular expression without
// flags, or "". What it reports is invalid in every version of JavaScript. It does not
// check the names of groups, references to them, the letters of (?i:...), and the
// ranges of a class that contains a backslash. Package regexp cannot tell: some
// expressions are valid only in Go, others only in JavaScript.
//
// TestRegularExpressionsAreJudgedAsInJavaScript in interop/ compares it with Node.js.
func regexpProblem(expression string) string {
	p := regexpParser{rest: utf16.Encode([]rune(expression))} // as JavaScript counts characters
	for len(p.rest) > 0 && p.problem == "" {
		p.parseTerm()
	}
	if p.problem == "" && len(p.groups) > 0 {
		return "a ( is not closed"
	}
	return p.problem
}

type regexpParser struct {
	rest       []uint16
	repeatable bool   // whether a quantifier may follow
	groups     []bool // for each open group: whether a quantifier may follow it
	problem    string
}

// next returns the next character and skips it. At the end it returns 0.
func (p *regexpParser) next() (c uint16) {
	if len(p.rest) > 0 {
		c, p.rest = p.rest[0], p.rest[1:]
	}
	return c
}

// skip skips the text if it comes next, and reports whether it does.
func (p *regexpParser) skip(text string) bool {
	if len(p.rest) < len(text) {
		return false
	}
	for i := range len(text) {
		if p.rest[i] != uint16(text[i]) {
			return false
		}
	}
	p.rest = p.rest[len(text):]
	return true
}

// parseTerm parses the next character, escape, class, quantifier or parenthesis.
func (p *regexpParser) parseTerm() {
	switch p.next() {
	case '\\':
		if len(p.rest) == 0 {
			p.problem = `it ends in a \`
		}
		escaped := p.next()
		p.repeatable = escaped != 'b' && escaped != 'B'
	case '[':
		p.parseClass()
		p.repeatable = true
	case '(':
		p.groups = append(p.groups, p.parseGroupKind())
		p.repeatable = false
	case ')':
		last := len(p.groups) - 1
		if last < 0 {
			p.problem = "a ) has no ("
			return
		}
		p.repeatable, p.groups = p.groups[last], p.groups[:last]
	case '*', '+', '?':
		p.parseQuantified()
	case '{':
		p.parseBrace()
	case '^', '$', '|':
		p.repeatable = false
	default:
		p.repeatable = true
	}
}

// parseGroupKind parses what follows an opening parenthesis, such as ?: or ?<name>. It
// reports whether a quantifier may follow the group.
func (p *regexpParser) parseGroupKind() (repeatable bool) {
	switch {
	case p.skip("?<="), p.skip("?<!"):
		return false
	case p.skip("?:"), p.skip("?="), p.skip("?!"), !p.skip("?"):
		return true
	case p.skip("<"):
		for len(p.rest) > 0 {
			if p.next() == '>' {
				return true
			}
		}
	}
	for p.skip("i") || p.skip("m") || p.skip("s") || p.skip("-") { // in new versions
	}
	if !p.skip(":") {
		p.problem = "JavaScript has no such (?, neither (?i) nor (?P<name>)"
	}
	return true
}

// parseQuantified checks that the quantifier that was parsed has something to repeat.
func (p *regexpParser) parseQuantified() {
	if !p.repeatable {
		p.problem = "a quantifier has nothing to repeat"
	}
	p.skip("?") // makes the quantifier lazy
	p.repeatable = false
}

// parseBrace parses the rest of a quantifier such as {2,3}. If it is not one, all its
// characters stand for themselves.
func (p *regexpParser) parseBrace() {
	low, ok := p.parseNumber()
	high := low
	if ok && p.skip(",") {
		if n, isNumber := p.parseNumber(); isNumber {
			high = n
		} else {
			high = math.MaxInt32
		}
	}
	switch {
	case !ok || !p.skip("}"):
		p.repeatable = true
	case low > high:
		p.problem = "a {} has its numbers out of order"
	default:
		p.parseQuantified()
	}
}

// parseNumber parses digits. Like V8, it limits the number to math.MaxInt32.
func (p *regexpParser) parseNumber() (n int64, ok bool) {
	for len(p.rest) > 0 && '0' <= p.rest[0] && p.rest[0] <= '9' {
		n, ok = min(10*n+int64(p.next()-'0'), math.MaxInt32), true
	}
	return n, ok
}

// parseClass parses a class up to its closing bracket.
func (p *regexpParser) parseClass() {
	class, hasEscape := p.rest, false
	for len(p.rest) > 0 {
		switch p.next() {
		case '\\':
			hasEscape = true
			p.next()
		case ']':
			class = class[:len(class)-len(p.rest)-1]
			if !hasEscape && hasReversedRange(class) {
				p.problem = "a class has a range out of order"
			}
			return
		}
	}
	p.problem = "a [ is not closed"
}

// hasReversedRange reports whether a class has a range such as z-a.
func hasReversedRange(class []uint16) bool {
	if len(class) > 0 && class[0] == '^' {
		class = class[1:]
	}
	for len(class) >= 3 {
		switch {
		case class[1] != '-':
			class = class[1:]
		case class[0] > class[2]:
			return true
		default:
			class = class[3:]
		}
	}
	return false
}
