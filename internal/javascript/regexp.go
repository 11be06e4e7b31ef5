package javascript

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// An UnsupportedError reports a regular expression that is valid in JavaScript but that Go cannot compile.
type UnsupportedError struct{ Pattern, Feature string }

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("cannot evaluate the regular expression %s: Go does not support %s", e.Pattern, e.Feature)
}

// MatchRegExp returns the result of new RegExp(pattern).test(text), or false if the pattern is invalid in JavaScript.
// It returns an *UnsupportedError if Go cannot compile the pattern.
func MatchRegExp(pattern, text string) (bool, error) {
	p := regexpParser{src: utf16Runes(pattern)}
	translated, valid := p.parse()
	if !valid {
		return false, nil
	}
	re, err := regexp.Compile(translated)
	if err != nil {
		p.markUnsupported("its size") // such as a{1001}
	}
	if p.unsupported != "" {
		return false, &UnsupportedError{pattern, p.unsupported}
	}
	return re.MatchString(string(utf16Runes(text))), nil
}

// IsRegExp reports whether new RegExp(pattern) succeeds.
func IsRegExp(pattern string) bool {
	p := regexpParser{src: utf16Runes(pattern)}
	_, valid := p.parse()
	return valid
}

// utf16Runes returns a rune for each UTF-16 code unit, because a regular expression of JavaScript matches code units.
func utf16Runes(s string) []rune {
	var runes []rune
	for _, unit := range utf16.Encode([]rune(s)) {
		runes = append(runes, unitRune(rune(unit)))
	}
	return runes
}

// unitRune returns the rune for a code unit. Surrogates, which are not valid runes, and all units above them are moved
// to the end of Unicode, so that the order of the units is kept.
func unitRune(unit rune) rune {
	if unit >= 0xd800 {
		return unit + 0x100000
	}
	return unit
}

// A regexpParser translates a regular expression of JavaScript, without flags, to Go. It implements ECMAScript's
// grammar including Annex B, which gives a meaning to most of what other grammars reject. Groups are translated without
// capturing: only whether the expression matches is of interest.
type regexpParser struct {
	src         []rune
	pos         int
	out         strings.Builder
	groupCount  int
	groupNames  []string
	unsupported string // the first part of the expression that Go does not support
}

// A regexpSyntaxError is the panic that ends the parsing of an invalid expression.
type regexpSyntaxError struct{}

func (p *regexpParser) parse() (translated string, valid bool) {
	defer func() {
		if r := recover(); r != nil && r != (regexpSyntaxError{}) {
			panic(r)
		}
	}()
	p.countGroups()
	p.parseDisjunction()
	p.require(p.pos == len(p.src)) // else there is an unmatched )
	return p.out.String(), true
}

func (p *regexpParser) require(ok bool) {
	if !ok {
		panic(regexpSyntaxError{})
	}
}

func (p *regexpParser) markUnsupported(reason string) {
	if p.unsupported == "" {
		p.unsupported = reason
	}
}

// peek returns the next rune, or -1 at the end.
func (p *regexpParser) peek() rune {
	if p.pos == len(p.src) {
		return -1
	}
	return p.src[p.pos]
}

// skip skips s, which is ASCII, if it is next.
func (p *regexpParser) skip(s string) bool {
	if len(p.src)-p.pos < len(s) || string(p.src[p.pos:p.pos+len(s)]) != s {
		return false
	}
	p.pos += len(s)
	return true
}

// countGroups finds the capturing groups. A backreference may precede its group.
func (p *regexpParser) countGroups() {
	inClass := false
	for ; p.pos < len(p.src); p.pos++ {
		switch p.src[p.pos] {
		case '\\':
			p.pos++
		case '[':
			inClass = true
		case ']':
			inClass = false
		case '(':
			if inClass {
				continue
			}
			if rest := string(p.src[p.pos+1:]); !strings.HasPrefix(rest, "?") {
				p.groupCount++
			} else if strings.HasPrefix(rest, "?<") && !strings.HasPrefix(rest, "?<=") && !strings.HasPrefix(rest, "?<!") {
				p.groupCount++
				name, _, _ := strings.Cut(rest[len("?<"):], ">")
				p.require(!slices.Contains(p.groupNames, name))
				p.groupNames = append(p.groupNames, name)
			}
		}
	}
	p.pos = 0
}

func (p *regexpParser) parseDisjunction() {
	for {
		switch p.peek() {
		case -1, ')':
			return
		case '|':
			p.pos++
			p.out.WriteByte('|')
		default:
			if p.parseTerm() {
				p.parseQuantifier()
			}
		}
	}
}

// parseTerm parses a term without its quantifier. It reports whether a quantifier may follow.
func (p *regexpParser) parseTerm() (quantifiable bool) {
	c := p.src[p.pos]
	switch c {
	case '*', '+', '?':
		p.require(false)
	case '{':
		_, _, isQuantifier := p.parseBraces()
		p.require(!isQuantifier)
	case '(':
		return p.parseGroup()
	case '[':
		p.parseClass()
		return true
	case '\\':
		return p.parseEscape()
	}
	p.pos++
	switch c {
	case '^', '$':
		p.out.WriteRune(c)
		return false
	case '.':
		p.out.WriteString(`[^\n\r\x{2028}\x{2029}]`)
	default:
		p.writeLiteral(c)
	}
	return true
}

func (p *regexpParser) writeLiteral(c rune) { p.out.WriteString(regexp.QuoteMeta(string(c))) }

func (p *regexpParser) parseQuantifier() {
	switch c := p.peek(); c {
	case '*', '+', '?':
		p.pos++
		p.out.WriteRune(c)
	case '{':
		start := p.pos
		lower, upper, ok := p.parseBraces()
		if !ok {
			return
		}
		p.require(upper == "" || compareDecimal(lower, upper) <= 0 || compareDecimal(upper, maxRepeat) > 0)
		p.out.WriteString(string(p.src[start:p.pos]))
	default:
		return
	}
	p.skip("?") // a lazy quantifier matches the same texts
}

var bracesPattern = regexp.MustCompile(`^\{([0-9]+)(?:,([0-9]*))?\}`)

// parseBraces parses {2}, {2,} or {2,3}. It skips nothing if other text is next.
// maxRepeat is the largest number of repetitions in V8. Larger ones count as it.
const maxRepeat = "2147483647"

func (p *regexpParser) parseBraces() (lower, upper string, ok bool) {
	match := bracesPattern.FindStringSubmatch(string(p.src[p.pos:]))
	if match == nil {
		return "", "", false
	}
	p.pos += len(match[0])
	return match[1], match[2], true
}

// compareDecimal compares two numbers of any length.
func compareDecimal(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func (p *regexpParser) parseGroup() (quantifiable bool) {
	quantifiable = true
	switch {
	case p.skip("(?:"):
	case p.skip("(?="), p.skip("(?!"):
		p.markUnsupported("a lookahead")
	case p.skip("(?<="), p.skip("(?<!"):
		p.markUnsupported("a lookbehind")
		quantifiable = false
	case p.skip("(?<"):
		p.parseGroupName()
	case p.skip("(?"):
		p.require(false)
	default:
		p.pos++
	}
	p.out.WriteString("(?:")
	p.parseDisjunction()
	p.require(p.skip(")"))
	p.out.WriteString(")")
	return quantifiable
}

// parseGroupName parses the name of a group and the > after it.
func (p *regexpParser) parseGroupName() (name string) {
	start := p.pos
	for p.peek() != '>' {
		c := p.peek()
		isStart := c == '$' || c == '_' || unicode.IsLetter(c)
		p.require(isStart || p.pos > start && (unicode.IsDigit(c) || unicode.Is(unicode.Mn, c)))
		p.pos++
	}
	p.require(p.pos > start)
	p.pos++
	return string(p.src[start : p.pos-1])
}

// parseEscape parses an escape outside of a character class. It reports whether a quantifier may follow.
func (p *regexpParser) parseEscape() (quantifiable bool) {
	p.pos++
	switch c := p.peek(); {
	case c == -1:
		p.require(false)
	case c == 'b', c == 'B':
		p.pos++
		p.out.WriteString(`\` + string(c))
		return false
	case strings.ContainsRune("dDwW", c):
		p.pos++
		p.out.WriteString(`\` + string(c))
	case c == 's':
		p.pos++
		p.out.WriteString(`[` + regexpSpace + `]`)
	case c == 'S':
		p.pos++
		p.out.WriteString(`[^` + regexpSpace + `]`)
	case c == 'k' && len(p.groupNames) > 0:
		p.pos++
		p.require(p.skip("<") && slices.Contains(p.groupNames, p.parseGroupName()))
		p.markUnsupported("a backreference")
	case c >= '1' && c <= '9' && p.skipBackreference():
		p.markUnsupported("a backreference")
	default:
		p.writeLiteral(p.parseCharacterEscape(false))
	}
	return true
}

// skipBackreference skips a number that is the number of a group.
func (p *regexpParser) skipBackreference() bool {
	end := p.pos
	for end < len(p.src) && p.src[end] >= '0' && p.src[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(string(p.src[p.pos:end]))
	if err != nil || n > p.groupCount {
		return false
	}
	p.pos = end
	return true
}

// parseCharacterEscape parses what follows the backslash of an escape that stands for one character.
func (p *regexpParser) parseCharacterEscape(inClass bool) rune {
	c := p.src[p.pos]
	p.pos++
	switch c {
	case 'f', 'n', 'r', 't', 'v':
		return map[rune]rune{'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}[c]
	case 'c':
		letter := p.peek()
		if isASCIILetter(letter) || inClass && (letter >= '0' && letter <= '9' || letter == '_') {
			p.pos++
			return letter % 32
		}
		p.pos-- // only the backslash is taken, literally
		return '\\'
	case 'x':
		return p.parseHex(2, c)
	case 'u':
		return p.parseHex(4, c)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		value := c - '0'
		for range 2 { // up to three octal digits, if the value is at most 0377
			if digit := p.peek(); digit >= '0' && digit <= '7' && value*8+digit-'0' <= 0o377 {
				value = value*8 + digit - '0'
				p.pos++
				continue
			}
			break
		}
		return value
	}
	return c
}

func isASCIILetter(c rune) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// parseHex parses hexadecimal digits. It returns the letter of the escape if there are too few.
func (p *regexpParser) parseHex(digits int, letter rune) rune {
	if p.pos+digits > len(p.src) {
		return letter
	}
	value, err := strconv.ParseUint(string(p.src[p.pos:p.pos+digits]), 16, 32)
	if err != nil {
		return letter
	}
	p.pos += digits
	return unitRune(rune(value))
}

// parseClass parses a character class.
func (p *regexpParser) parseClass() {
	p.pos++
	negated := p.skip("^")
	var content strings.Builder // of a character class of Go
	for !p.skip("]") {
		first, isSet := p.parseClassAtom(&content)
		if p.peek() != '-' || p.pos+1 < len(p.src) && p.src[p.pos+1] == ']' {
			if !isSet {
				writeRange(&content, first, first)
			}
			continue
		}
		p.pos++
		last, lastIsSet := p.parseClassAtom(&content)
		if isSet || lastIsSet { // such as [\d-x], where the hyphen stands for itself
			writeRange(&content, '-', '-')
			if !isSet {
				writeRange(&content, first, first)
			}
			if !lastIsSet {
				writeRange(&content, last, last)
			}
			continue
		}
		p.require(first <= last)
		writeRange(&content, first, last)
	}
	switch {
	case content.Len() > 0 && negated:
		p.out.WriteString("[^" + content.String() + "]")
	case content.Len() > 0:
		p.out.WriteString("[" + content.String() + "]")
	case negated:
		p.out.WriteString(`[\x00-\x{10ffff}]`) // [^] matches any character
	default:
		p.out.WriteString(`[^\x00-\x{10ffff}]`) // [] matches none
	}
}

func writeRange(content *strings.Builder, first, last rune) {
	fmt.Fprintf(content, `\x{%x}-\x{%x}`, first, last)
}

// parseClassAtom parses a character of a class. If it stands for a set of characters, they are written to content.
func (p *regexpParser) parseClassAtom(content *strings.Builder) (c rune, isSet bool) {
	p.require(p.pos < len(p.src))
	c = p.src[p.pos]
	p.pos++
	if c != '\\' {
		return c, false
	}
	switch c := p.peek(); {
	case c == -1:
		p.require(false)
	case c == 'b':
		p.pos++
		return '\b', false
	case strings.ContainsRune("dDwW", c):
		p.pos++
		content.WriteString(`\` + string(c))
		return 0, true
	case c == 's':
		p.pos++
		content.WriteString(regexpSpace)
		return 0, true
	case c == 'S':
		p.pos++
		content.WriteString(nonSpace)
		return 0, true
	case c == 'k' && len(p.groupNames) > 0:
		p.require(false)
	}
	return p.parseCharacterEscape(true), false
}

// regexpSpace and its complement are for a character class of Go. In them, U+FEFF is as unitRune returns it.
const (
	regexpSpace = space + `\x{10feff}`
	nonSpace    = `\x00-\x08\x0e-\x1f!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}` +
		`\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10fefe}\x{10ff00}-\x{10ffff}`
)
