package interop

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/portkey-go/portkey/interop/internal/realgateway"
)

func TestMain(m *testing.M) { realgateway.Main(m) }

// clientKey is the provider's key that the clients are made with.
const clientKey = "sk-test"

// bounded returns a context that ends before go test's own timeout does.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func check[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// reply answers everything with the same JSON.
func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}
