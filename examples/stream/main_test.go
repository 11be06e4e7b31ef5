package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

// setenv sets the URL of the gateway, and no key.
func setenv(t *testing.T, gatewayURL string) {
	t.Setenv("PORTKEY_BASE_URL", gatewayURL)
	t.Setenv("PORTKEY_API_KEY", "")
	t.Setenv("OPENAI_API_KEY", "")
}

func TestStreamIsPrintedWithItsTrace(t *testing.T) {
	setenv(t, "")
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "You said: Count to three\ntrace stream-example, provider openai, cache DISABLED\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCutOffStreamIsAnError(t *testing.T) {
	gw := portkeytest.NewGateway(t)
	gw.Handle("POST /chat/completions", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"One, two"}}]}`+"\n\n")
	}))
	setenv(t, gw.URL())
	var out bytes.Buffer
	err := run(t.Context(), &out)
	var streamErr *portkey.StreamError
	if !errors.As(err, &streamErr) || streamErr.TraceID != "stream-example" {
		t.Errorf("got %v, want a *portkey.StreamError with the trace ID", err)
	}
	if got, want := out.String(), "One, two"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
