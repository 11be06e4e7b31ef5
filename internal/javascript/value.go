// Package javascript implements the rules of JavaScript by which the gateway's router compares values. The tests in
// interop/ compare it with the gateway's JavaScript engine.
//
// A value is represented as encoding/json decodes it into an any, with two exceptions: an object is an [Object], and a
// missing value is [Undefined].
package javascript

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// An Object has its members in the order in which JavaScript enumerates them.
type Object []Member

// A Member is a member of an Object.
type Member struct {
	Key   string
	Value any
}

type undefined struct{}

// Undefined is the value of a property that does not exist.
var Undefined any = undefined{}

// ParseJSON decodes a JSON text. It returns false if the text is invalid.
func ParseJSON(text []byte) (value any, ok bool) {
	if !json.Valid(text) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decodeValue(decoder), true
}

// decodeValue decodes a value that is known to be valid.
func decodeValue(decoder *json.Decoder) any {
	token, _ := decoder.Token()
	switch v := token.(type) {
	case json.Number:
		return parseNumber(v.String())
	case json.Delim:
		defer decoder.Token() // the closing delimiter
		if v == '[' {
			list := []any{}
			for decoder.More() {
				list = append(list, decodeValue(decoder))
			}
			return list
		}
		object := Object{}
		for decoder.More() {
			key, _ := decoder.Token()
			object.set(key.(string), decodeValue(decoder))
		}
		// JavaScript enumerates array indexes first, in numerical order.
		slices.SortStableFunc(object, func(a, b Member) int { return cmp.Compare(arrayIndex(a.Key), arrayIndex(b.Key)) })
		return object
	}
	return token
}

// parseNumber parses a number. It returns infinity if the number is too large.
func parseNumber(text string) float64 {
	f, _ := strconv.ParseFloat(text, 64)
	return f
}

// set sets a member. If a key occurs twice, its last value takes the place of the first.
func (o *Object) set(key string, value any) {
	for i := range *o {
		if (*o)[i].Key == key {
			(*o)[i].Value = value
			return
		}
	}
	*o = append(*o, Member{key, value})
}

// arrayIndex returns the number if key is an array index such as "7", and otherwise infinity.
func arrayIndex(key string) float64 {
	i, err := strconv.ParseUint(key, 10, 32)
	if err != nil || i == math.MaxUint32 || strconv.FormatUint(i, 10) != key {
		return math.Inf(1)
	}
	return float64(i)
}

// Entries returns the result of Object.entries(value). It returns false if that throws an exception.
func Entries(value any) (entries Object, ok bool) {
	switch v := value.(type) {
	case nil, undefined:
		return nil, false
	case Object:
		return v, true
	case []any:
		for i, element := range v {
			entries = append(entries, Member{strconv.Itoa(i), element})
		}
	case string:
		for i, unit := range utf16.Encode([]rune(v)) {
			entries = append(entries, Member{strconv.Itoa(i), string(utf16.Decode([]uint16{unit}))})
		}
	}
	return entries, true
}

// Property returns the result of value?.[name]. It does not know the methods of JavaScript's types.
func Property(value any, name string) any {
	entries, _ := Entries(value)
	for _, entry := range entries {
		if entry.Key == name {
			return entry.Value
		}
	}
	switch value.(type) {
	case []any, string:
		if name == "length" {
			return float64(len(entries))
		}
	}
	return Undefined
}

// IsObject reports whether value is an object or a list.
func IsObject(value any) bool {
	switch value.(type) {
	case Object, []any:
		return true
	}
	return false
}

// StrictlyEqual returns the result of a === b for values of different texts: objects and lists are never equal.
func StrictlyEqual(a, b any) bool { return !IsObject(a) && !IsObject(b) && a == b }

// ToString returns the result of String(value).
func ToString(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return formatNumber(v)
	case []any:
		elements := make([]string, len(v))
		for i, element := range v {
			if element != nil {
				elements[i] = ToString(element)
			}
		}
		return strings.Join(elements, ",")
	case Object:
		return "[object Object]"
	}
	return "undefined"
}

// formatNumber formats a number. Only numbers below 1e-6 and from 1e21 on have an exponent.
func formatNumber(f float64) string {
	switch abs := math.Abs(f); {
	case f == 0:
		return "0" // also for -0
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case abs >= 1e-6 && abs < 1e21:
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	return mantissa + "e" + exponent[:1] + strings.TrimLeft(exponent[1:], "0")
}

// space contains JavaScript's white space, for a character class of Go.
const space = `\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`

var leadingNumber = regexp.MustCompile(
	`^[` + space + `]*([+-]?(?:Infinity|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?))`)

// ParseFloat returns the result of parseFloat(value): the number at the start of the text, or NaN.
func ParseFloat(value any) float64 {
	match := leadingNumber.FindStringSubmatch(ToString(value))
	if match == nil {
		return math.NaN()
	}
	return parseNumber(match[1])
}
