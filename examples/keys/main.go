// Command keys shows three sources of the Portkey API key: one key per tenant, a key
// file that is rotated while the program runs, and a key that is fetched anew after the
// gateway has refused it. For JWTs that expire, see examples/jwt.
//
//	go run ./examples/keys
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

func main() {
	gateway := portkeytest.Start()
	defer gateway.Close()
	if err := run(context.Background(), os.Stdout, gateway.URL()); err != nil {
		log.Fatal(err)
	}
	for _, r := range gateway.Requests() {
		fmt.Println("the gateway received", r.Header.Get("x-portkey-api-key"))
	}
}

func run(ctx context.Context, out io.Writer, gatewayURL string) error {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte("pk-from-a-file\n"), 0o600); err != nil {
		return err
	}
	fetched := &fetchedKey{fetch: func(context.Context) (string, error) { return "pk-fetched", nil }}

	for _, example := range []struct {
		name   string
		source func(context.Context) (string, error)
	}{
		{"tenant", tenantKeys{"acme": "pk-of-acme"}.key},
		{"file", keyFile(file).key},
		{"fetched", fetched.key},
	} {
		t, err := portkey.NewTransport(nil, portkey.Options{BaseURL: gatewayURL, APIKeySource: example.source})
		if err != nil {
			return err
		}
		client := &http.Client{Transport: fetched.around(t)}
		status, err := chat(withTenant(ctx, "acme"), client)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: status %d\n", example.name, status)
	}
	return nil
}

// chat makes one call and returns its status.
func chat(ctx context.Context, client *http.Client) (int, error) {
	const body = `{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.openai.com/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}
