package main

import (
	"bytes"
	"testing"
)

func TestSpanAndPortkeyShareATrace(t *testing.T) {
	for _, name := range []string{"PORTKEY_API_KEY", "PORTKEY_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"} {
		t.Setenv(name, "")
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "You said: Say this is a test\nthe span's trace is Portkey's: true\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
