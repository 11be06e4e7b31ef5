package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

func TestServerTellsItsUsersApart(t *testing.T) {
	t.Setenv("PORTKEY_API_KEY", "")
	gateway := portkeytest.NewGateway(t)
	handler, err := newHandler(portkey.Options{BaseURL: gateway.URL()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()

	const users = 20
	var mu sync.Mutex
	traceOf := make(map[string]string)
	var all sync.WaitGroup
	for i := range users {
		all.Add(1)
		go func() {
			defer all.Done()
			user := fmt.Sprint("u-", i)
			req, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/ask?q=I+am+"+user, nil)
			req.Header.Set("X-User", user)
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			got, _ := io.ReadAll(resp.Body)
			if want := "You said: I am " + user + "\n"; string(got) != want {
				t.Errorf("got %q, want %q", got, want)
			}
			mu.Lock()
			defer mu.Unlock()
			traceOf[user] = resp.Header.Get("X-Trace-Id")
		}()
	}
	all.Wait()

	requests := gateway.Requests()
	if len(requests) != users {
		t.Errorf("got %d calls, want %d", len(requests), users)
	}
	for _, r := range requests {
		user := r.Metadata()["_user"]
		if trace := r.TraceID(); trace == "" || trace != traceOf[user] {
			t.Errorf("%s: got trace %q, want %q", user, trace, traceOf[user])
		}
		delete(traceOf, user)
	}
}

func TestServerSaysThatTheModelFails(t *testing.T) {
	t.Setenv("PORTKEY_API_KEY", "")
	gateway := portkeytest.NewGateway(t)
	gateway.Next(portkeytest.Fault{Status: http.StatusTooManyRequests})
	handler, err := newHandler(portkey.Options{BaseURL: gateway.URL()})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/ask?q=hi", nil))
	if w.Code != http.StatusBadGateway || w.Body.String() != "the model does not answer\n" {
		t.Errorf("got %d %q, want 502 without the provider's own words", w.Code, w.Body)
	}
}
