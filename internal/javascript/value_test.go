package javascript_test

import (
	"math"
	"strings"
	"testing"

	"github.com/portkey-go/portkey/internal/javascript"
)

func parse(t *testing.T, text string) any {
	t.Helper()
	value, ok := javascript.ParseJSON([]byte(text))
	if !ok {
		t.Fatalf("%s: got false, want a value", text)
	}
	return value
}

func TestParseJSONKeepsTheOrderOfMembers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{`{"b":1,"a":2}`, "b=1 a=2"},
		{`{"a":1,"b":2,"a":3}`, "a=3 b=2"},
		{`{"b":1,"10":2,"9":3,"09":4}`, "9=3 10=2 b=1 09=4"}, // JavaScript enumerates array indexes first
		{`["x","y"]`, "0=x 1=y"},
		{`"hi"`, "0=h 1=i"},
		{`5`, ""},
	} {
		t.Run(tt.text, func(t *testing.T) {
			entries, ok := javascript.Entries(parse(t, tt.text))
			var got []string
			for _, entry := range entries {
				got = append(got, entry.Key+"="+javascript.ToString(entry.Value))
			}
			if strings.Join(got, " ") != tt.want || !ok {
				t.Errorf("got %q, %v, want %q", got, ok, tt.want)
			}
		})
	}
	if _, ok := javascript.Entries(nil); ok {
		t.Error("null: got entries, want an exception")
	}
	if _, ok := javascript.ParseJSON([]byte(`{"a":1,}`)); ok {
		t.Error("invalid JSON: got a value")
	}
}

func TestToString(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{`null`, "null"},
		{`true`, "true"},
		{`"a"`, "a"},
		{`1000000`, "1000000"},
		{`1.50`, "1.5"},
		{`-0`, "0"},
		{`100000000000000000000`, "100000000000000000000"},
		{`1e21`, "1e+21"},
		{`0.000001`, "0.000001"},
		{`1.5e-7`, "1.5e-7"},
		{`1e999`, "Infinity"},
		{`-1e999`, "-Infinity"},
		{`[1,null,[2,"a"]]`, "1,,2,a"},
		{`{"a":1}`, "[object Object]"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			if got := javascript.ToString(parse(t, tt.text)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	if got := javascript.ToString(javascript.Undefined); got != "undefined" {
		t.Errorf("got %s, want undefined", got)
	}
}

func TestParseFloat(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want float64
	}{
		{`5`, 5},
		{`"1_000"`, 1},
		{`"21 years"`, 21},
		{`"\u00a0\ufeff 7"`, 7},
		{`"-.5e1x"`, -5},
		{`"1e"`, 1},
		{`"0x10"`, 0},
		{`"Infinityx"`, math.Inf(1)},
		{`"infinity"`, math.NaN()},
		{`""`, math.NaN()},
		{`null`, math.NaN()},
		{`true`, math.NaN()},
		{`[7,8]`, 7},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got := javascript.ParseFloat(parse(t, tt.text))
			if got != tt.want && !(math.IsNaN(got) && math.IsNaN(tt.want)) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestProperty(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, name string
		want       any
	}{
		{`{"a":"x"}`, "a", "x"},
		{`{"a":null}`, "a", nil},
		{`{"a":"x"}`, "b", javascript.Undefined},
		{`null`, "a", javascript.Undefined},
		{`5`, "a", javascript.Undefined},
		{`["x","y"]`, "1", "y"},
		{`["x","y"]`, "length", 2.0},
		{`"a😀"`, "length", 3.0}, // in UTF-16 code units
	} {
		t.Run(tt.text+" "+tt.name, func(t *testing.T) {
			if got := javascript.Property(parse(t, tt.text), tt.name); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestStrictlyEqual(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{`5`, `5.0`, true},
		{`5`, `"5"`, false},
		{`0`, `-0`, true},
		{`0`, `false`, false},
		{`null`, `null`, true},
		{`"a"`, `"a"`, true},
		{`[]`, `[]`, false},
		{`{}`, `{}`, false},
		{`[]`, `null`, false},
	} {
		t.Run(tt.a+" "+tt.b, func(t *testing.T) {
			if got := javascript.StrictlyEqual(parse(t, tt.a), parse(t, tt.b)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	if javascript.StrictlyEqual(javascript.Undefined, nil) {
		t.Error("undefined equals null")
	}
}
