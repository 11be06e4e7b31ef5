package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
)

type tenantContextKey struct{}

// withTenant returns a context whose calls are made with the key of a tenant.
func withTenant(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, tenantContextKey{}, tenant)
}

// tenantKeys maps tenants to their API keys.
type tenantKeys map[string]string

// key returns the key of the tenant in ctx. A call for no tenant, or for an unknown one,
// fails: it must not be made at the expense of another tenant.
func (keys tenantKeys) key(ctx context.Context) (string, error) {
	tenant, _ := ctx.Value(tenantContextKey{}).(string)
	key, ok := keys[tenant]
	if !ok {
		return "", errors.New("the tenant has no API key")
	}
	return key, nil
}

// A keyFile is the path of a file with an API key, such as a mounted Kubernetes secret.
// It is read for each call, which takes some 20 µs, so that a rotated key is used at once.
type keyFile string

func (path keyFile) key(context.Context) (string, error) {
	text, err := os.ReadFile(string(path))
	return strings.TrimSpace(string(text)), err
}

// A fetchedKey caches an API key until the gateway refuses it.
type fetchedKey struct {
	fetch func(context.Context) (string, error)

	mu      sync.Mutex
	current string // "": none
}

type usedKeyContextKey struct{}

// key returns the cached key. If there is none, it fetches one; concurrent calls wait.
func (k *fetchedKey) key(ctx context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == "" {
		key, err := k.fetch(ctx)
		if err != nil {
			return "", err
		}
		k.current = key
	}
	if used, ok := ctx.Value(usedKeyContextKey{}).(*string); ok {
		*used = k.current
	}
	return k.current, nil
}

// around returns a RoundTripper that discards the key with which next, a Transport, has
// made a call if the response has status 401. The call is not repeated: the next one has a
// new key.
func (k *fetchedKey) around(next http.RoundTripper) http.RoundTripper {
	return roundTripperFunc(func(req *http.Request) (*http.Response, error) {
		var used string
		ctx := context.WithValue(req.Context(), usedKeyContextKey{}, &used)
		resp, err := next.RoundTrip(req.WithContext(ctx))
		if err == nil && resp.StatusCode == http.StatusUnauthorized {
			k.discard(used)
		}
		return resp, err
	})
}

// discard discards a key, unless it was replaced since.
func (k *fetchedKey) discard(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == key {
		k.current = ""
	}
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
