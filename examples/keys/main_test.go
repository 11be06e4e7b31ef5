package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

func TestEachSourceProvidesAKey(t *testing.T) {
	gateway := portkeytest.NewGateway(t)
	var out bytes.Buffer
	if err := run(t.Context(), &out, gateway.URL()); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "tenant: status 200\nfile: status 200\nfetched: status 200\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want := []string{"pk-of-acme", "pk-from-a-file", "pk-fetched"}
	for i, r := range gateway.Requests() {
		if got := r.Header.Get("x-portkey-api-key"); got != want[i] {
			t.Errorf("call %d: got key %q, want %q", i, got, want[i])
		}
	}
}

func newClient(t *testing.T, gateway *portkeytest.Gateway, source func(context.Context) (string, error)) *http.Client {
	t.Helper()
	client, err := portkey.WrapClient(nil, portkey.Options{BaseURL: gateway.URL(), APIKeySource: source})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestTenantWithoutAKeyMakesNoCall(t *testing.T) {
	gateway := portkeytest.NewGateway(t)
	client := newClient(t, gateway, tenantKeys{"acme": "pk-of-acme"}.key)
	for _, ctx := range []context.Context{t.Context(), withTenant(t.Context(), "other")} {
		if _, err := chat(ctx, client); err == nil || !strings.Contains(err.Error(), "no API key") {
			t.Errorf("got %v, want an error", err)
		}
	}
	if n := len(gateway.Requests()); n > 0 {
		t.Errorf("got %d requests, want none", n)
	}
}

func TestRotatedFileIsUsedByTheNextCall(t *testing.T) {
	gateway := portkeytest.NewGateway(t)
	file := filepath.Join(t.TempDir(), "key")
	client := newClient(t, gateway, keyFile(file).key)
	for i, key := range []string{"pk-old", "pk-new"} {
		next := file + ".next"
		if err := os.WriteFile(next, []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, file); err != nil { // atomically, as Kubernetes does
			t.Fatal(err)
		}
		if _, err := chat(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		if got := gateway.Requests()[i].Header.Get("x-portkey-api-key"); got != key {
			t.Errorf("got key %q, want %q", got, key)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := chat(t.Context(), client); err == nil {
		t.Error("got no error without the file, want one")
	}
}

func TestRefusedKeyIsFetchedAnew(t *testing.T) {
	gateway := portkeytest.NewGateway(t)
	var valid atomic.Int64
	valid.Store(1)
	gateway.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("x-portkey-api-key") != fmt.Sprint("pk-", valid.Load()) {
			w.WriteHeader(http.StatusUnauthorized)
		}
		w.Write([]byte("{}"))
	}))
	fetches := 0
	key := &fetchedKey{fetch: func(context.Context) (string, error) {
		fetches++
		return fmt.Sprint("pk-", valid.Load()), nil
	}}
	client := newClient(t, gateway, key.key)
	client.Transport = key.around(client.Transport)

	var got []int
	for i := range 6 {
		if i == 3 {
			valid.Add(1)
		}
		status, err := chat(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, status)
	}
	if want := []int{200, 200, 200, 401, 200, 200}; fmt.Sprint(got) != fmt.Sprint(want) || fetches != 2 {
		t.Errorf("got statuses %v after %d fetches, want %v after 2", got, fetches, want)
	}
}
