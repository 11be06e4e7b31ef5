package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
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
		{"gw", "", "hi", "PORTKEY_BASE_URL has no scheme"},
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
