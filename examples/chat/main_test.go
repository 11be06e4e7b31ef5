package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"PORTKEY_API_KEY", "PORTKEY_BASE_URL", "OPENAI_API_KEY"} {
		os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

func TestChatNeedsNoKey(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-secret")
	var out bytes.Buffer
	if err := run(t.Context(), &out, []string{"-trace", "t1", "Say this", "is a test"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"You said: Say this is a test\n", "trace ID:       t1\n", "cache status:   DISABLED\n", "retry attempts: 0\n", "provider:       openai\n",
		"x-portkey-api-key: [redacted]\n", "authorization: [redacted]\n", "x-portkey-trace-id: t1\n", `x-portkey-metadata: {"example":"chat"}`,
		"received POST /v1/chat/completions",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant it to contain %q", &out, want)
		}
	}
	if strings.Contains(out.String(), "secret") || strings.Contains(out.String(), "pk-of-the-example") {
		t.Errorf("a key was printed:\n%s", &out)
	}
}

func TestChatFailsInOneLine(t *testing.T) {
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		w.Write([]byte(`{"error":{"message":"wrong\nkey ` + r.Header.Get("X-Portkey-Api-Key") + `","type":"auth"}}`))
	}))
	defer refuses.Close()
	fails := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"status":"failure","message":"Invalid provider passed"}`))
	}))
	defer fails.Close()
	breaks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer breaks.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("<html>Welcome!</html>"))
	}))
	defer page.Close()
	gone := httptest.NewServer(nil)
	gone.Close()

	for _, tt := range []struct{ url, key, arg, want string }{
		{refuses.URL + "/v1", "pk-secret", "hi", "answered 401: wrong key [PORTKEY_API_KEY]"},
		{fails.URL + "/v1", "pk", "hi", "answered 400 Bad Request Invalid provider passed"},
		{breaks.URL + "/v1", "", "hi", "the answer broke off: unexpected EOF"},
		{page.URL + "/v1", "", "hi", "is it a gateway?"},
		{gone.URL + "/v1", "", "hi", "cannot reach the gateway " + gone.URL + "/v1: "},
		{"", "", " ", "the prompt is empty"},
		{"gw", "", "hi", "PORTKEY_BASE_URL must start with"},
		{gone.URL, "p\nk", "hi", "invalid header x-portkey-api-key"},
		{"", "", "-nope", "flag provided but not defined: -nope"},
	} {
		t.Setenv("PORTKEY_BASE_URL", tt.url)
		t.Setenv("PORTKEY_API_KEY", tt.key)
		err := run(t.Context(), new(bytes.Buffer), []string{tt.arg})
		if err == nil {
			t.Errorf("%s %q: got no error", tt.url, tt.arg)
			continue
		}
		if got := oneLine(err); !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s %q: got %q, want one line with %q", tt.url, tt.arg, got, tt.want)
		}
	}
	t.Setenv("PORTKEY_BASE_URL", "")
	if err := run(t.Context(), new(bytes.Buffer), []string{"-trace", "a\nb", "hi"}); err == nil || !strings.HasPrefix(err.Error(), "portkey: invalid header") {
		t.Errorf("got %v, want the header named", err)
	}
}

func TestChatFlagsReachTheGateway(t *testing.T) {
	var header http.Header
	var body string
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		header, body = r.Header, string(b)
		w.Write([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n"))
		w.(http.Flusher).Flush()
		if r.Header.Get("X-Portkey-Trace-Id") == "breaks" {
			panic(http.ErrAbortHandler)
		}
	}))
	defer gateway.Close()
	t.Setenv("PORTKEY_BASE_URL", gateway.URL+"/v1")
	var out bytes.Buffer
	if err := run(t.Context(), &out, []string{"-model", "m-1", "-provider", "@mine", "-config", "pc-1", "hi"}); err != nil {
		t.Fatal(err)
	}
	if header.Get("X-Portkey-Provider") != "@mine" || header.Get("X-Portkey-Config") != "pc-1" || !strings.Contains(body, `"model":"m-1"`) {
		t.Errorf("got %v and %s, want what the flags say", header, body)
	}
	_, headers, _ := strings.Cut(out.String(), "\nsent to ")
	lines := strings.Split(strings.TrimSpace(headers), "\n")[1:]
	if len(lines) < 4 || !slices.IsSorted(lines) {
		t.Errorf("got\n%s\nwant the headers in order", &out)
	}
	out.Reset()
	if err := run(t.Context(), &out, []string{"-trace", "breaks", "hi"}); err == nil || out.String() != "half\n" {
		t.Errorf("got %q, %v, want the half answer and a line break", &out, err)
	}
}

func TestChatHelpAndWrongFlags(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, []string{"-h"}); !errors.Is(err, flag.ErrHelp) || !strings.HasPrefix(out.String(), "usage: ") || !strings.Contains(out.String(), "-provider name") {
		t.Errorf("got %q, %v, want the usage with the flags", &out, err)
	}
	out.Reset()
	if run(t.Context(), &out, []string{"-nope"}); out.Len() > 0 {
		t.Errorf("got %q for a wrong flag, want nothing beside the error", &out)
	}
	if got := oneLine(errors.New("a\r\n\tb")); got != "a b" {
		t.Errorf("got %q, want %q", got, "a b")
	}
}

func TestChatWithAKeyGoesToTheHostedGateway(t *testing.T) {
	defer func(old http.RoundTripper) { http.DefaultTransport = old }(http.DefaultTransport)
	var got *http.Request
	http.DefaultTransport = roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		got = r
		return nil, io.ErrUnexpectedEOF
	})
	t.Setenv("PORTKEY_API_KEY", "pk")
	run(t.Context(), new(bytes.Buffer), []string{"hi"})
	if got == nil || got.URL.String() != "https://api.portkey.ai/v1/chat/completions" || got.Header.Get("X-Portkey-Api-Key") != "pk" {
		t.Errorf("got %+v, want a request to the hosted gateway", got)
	}
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
