package javascript_test

import (
	"errors"
	"testing"

	"github.com/portkey-go/portkey/internal/javascript"
)

func TestMatchRegExp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{`^p.*d$`, "paid", true},
		{`PAID`, "paid", false},
		{`^$`, "", true},
		{`a|b`, "b", true},
		{`^(?:ab)+$`, "abab", true},
		{`^a{2}b{1,}c{0,1}$`, "aab", true},
		{`^a*?$`, "aa", true},
		{`.`, "\n", false},
		{`.`, "\u2028", false},
		{`\s`, "\ufeff", true},
		{`\S`, "\u00a0", false},
		{`[\s]`, "\v", true},
		{`[\S]`, "\ufeff", false},
		{`[^\s]`, "a", true},
		{`\d\w\D\W`, "1a- ", true},
		{`\bb\B`, "a bc", true},
		{`[\b]`, "\b", true},

		// The code units of UTF-16.
		{`^..$`, "😀", true},
		{`^\ud83d\ude00$`, "😀", true},
		{`^[\u0000-\uffff]+$`, "a😀\ufeff", true},

		// What Go reads differently or not at all.
		{`^(?<name>a)$`, "a", true},
		{`\Aa\z`, "Aaz", true},
		{`\Qa\E`, "QaE", true},
		{`\pL`, "pL", true},
		{`[[:alpha:]]`, "a]", true},
		{`[]a]`, "a]", false},
		{`^[^]$`, "\n", true},
		{`^[]`, "", false},
		{`\u0061\x62`, "ab", true},
		{`^\u00\x6$`, "u00x6", true},
		{`^\u{3}$`, "uuu", true},
		{`\cA`, "\x01", true},
		{`^\c1$`, `\c1`, true},
		{`[\c1]`, "\x11", true},
		{`\0`, "\x00", true},
		{`^\101\8$`, "A8", true},
		{`\k`, "k", true},
		{`^a{,2}$`, "a{,2}", true},
		{`^{a}]$`, "{a}]", true},
		{`^[a-]+$`, "-a", true},
		{`^[\w-.]+$`, "a-.", true},
		{`^[.-\w]+$`, "a-.", true},

		// Invalid patterns match nothing.
		{`(?i)a`, "a", false},
		{`(?P<n>a)`, "a", false},
		{`(?<1>a)`, "a", false},
		{`(?<n>a)(?<n>b)`, "ab", false},
		{`(?<n>a)\k`, "ak", false},
		{`*`, "*", false},
		{`^*`, "a", false},
		{`\b+`, "a", false},
		{`a**`, "a", false},
		{`a{2}{2}`, "aaaa", false},
		{`{1}`, "{1}", false},
		{`a{2,1}`, "aa", false},
		{`a{10,9}`, "aaaaaaaaaa", false},
		{`(a`, "a", false},
		{`a)`, "a", false},
		{`[a`, "a", false},
		{`[b-a]`, "a", false},
		{`a\`, "a", false},
		{`(?<=a)*`, "a", false},
		{`(?=a`, "a", false},
	} {
		t.Run(tt.pattern+" on "+tt.text, func(t *testing.T) {
			got, err := javascript.MatchRegExp(tt.pattern, tt.text)
			if got != tt.want || err != nil {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestMatchRegExpReportsWhatGoDoesNotSupport(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ pattern, want string }{
		{`^(?=a)`, "a lookahead"},
		{`^(?!a)`, "a lookahead"},
		{`(?<=a)`, "a lookbehind"},
		{`(?<!a)`, "a lookbehind"},
		{`(a)\1`, "a backreference"},
		{`\1(a)`, "a backreference"},
		{`(?<n>a)\k<n>`, "a backreference"},
		{`a{1001}`, "its size"},
	} {
		t.Run(tt.pattern, func(t *testing.T) {
			_, err := javascript.MatchRegExp(tt.pattern, "a")
			var unsupported *javascript.UnsupportedError
			if !errors.As(err, &unsupported) {
				t.Fatalf("got %v, want an UnsupportedError", err)
			}
			want := javascript.UnsupportedError{Pattern: tt.pattern, Feature: tt.want}
			if *unsupported != want {
				t.Errorf("got %+v, want %+v", *unsupported, want)
			}
		})
	}
}
