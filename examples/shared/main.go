// Command shared adds the Transport to an http.Client that also makes requests that have
// nothing to do with LLMs, and to http.DefaultTransport.
//
//	go run ./examples/shared
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	opts := portkey.Options{PassUnknownHosts: true}
	if os.Getenv("PORTKEY_API_KEY") == "" && os.Getenv("PORTKEY_BASE_URL") == "" {
		gateway := portkeytest.Start() // without a key: a gateway inside this program
		defer gateway.Close()
		opts.BaseURL = gateway.URL()
	}
	other := httptest.NewServer(http.HandlerFunc(serveOther)) // a service that is not an LLM
	defer other.Close()

	fmt.Fprintln(out, "with the http.Client of the program:")
	existing := &http.Client{Timeout: time.Minute}
	client, err := portkey.WrapClient(existing, opts)
	if err != nil {
		return err
	}
	if err := call(ctx, out, client, other.URL); err != nil {
		return err
	}

	fmt.Fprintln(out, "with http.DefaultTransport:")
	restore, err := replaceDefaultTransport(opts)
	if err != nil {
		return err
	}
	defer restore()
	return call(ctx, out, http.DefaultClient, other.URL)
}

// replaceDefaultTransport sends the requests of every http.Client without a Transport through
// the gateway, and returns a function that ends this. Call it at the start of a program: other
// goroutines read http.DefaultTransport. It changes more than the requests to providers:
//
//   - http.DefaultTransport.(*http.Transport) panics, also in other people's packages. Code that
//     checks the type assertion often makes an http.Transport of its own instead, whose requests
//     go around the gateway. If a dependency does either, use an http.Client as above.
//   - An httputil.ReverseProxy without a Transport sends requests to providers through the
//     gateway, with x-portkey-* headers from outside. Set Options.IgnoreRequestHeaders if the
//     program has one.
//   - Requests of other packages to a provider's API fail if the gateway cannot serve them.
//
// An http.Client with a Transport of its own is not affected.
func replaceDefaultTransport(opts portkey.Options) (restore func(), err error) {
	t, err := portkey.NewTransport(nil, opts) // its base is a clone of http.DefaultTransport
	if err != nil {
		return nil, err
	}
	original := http.DefaultTransport
	http.DefaultTransport = t
	return func() { http.DefaultTransport = original }, nil
}

// call makes the calls of a program whose LLM client and other code share an http.Client.
func call(ctx context.Context, out io.Writer, client *http.Client, other string) error {
	cfg := openai.DefaultConfig(os.Getenv("OPENAI_API_KEY"))
	cfg.HTTPClient = client
	answer, err := openai.NewClientWithConfig(cfg).CreateChatCompletion(ctx, openai.ChatCompletionRequest{
		Model:    openai.GPT4oMini,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "hello"}},
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "  gateway:", answer.Choices[0].Message.Content)

	body, err := get(ctx, client, other+"/")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "  other service:", body)

	// A typo or a redirect must not send a prompt to a provider around the gateway.
	for _, url := range []string{
		"http://api.openai.com/v1/models",
		"https://api.openai.com:8443/v1/models",
		other + "/moved-to-openai",
	} {
		_, err := get(ctx, client, url)
		var refused *portkey.RouteError
		if !errors.As(err, &refused) {
			return fmt.Errorf("%s: got %v, want it refused", url, err)
		}
		if refused.Redirect {
			fmt.Fprintln(out, "  refused a redirect to", refused.URL)
		} else {
			fmt.Fprintln(out, "  refused", refused.URL)
		}
	}
	return nil
}

// get returns the body of the response.
func get(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func serveOther(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/moved-to-openai" {
		http.Redirect(w, r, "https://api.openai.com/v1/models", http.StatusTemporaryRedirect)
		return
	}
	fmt.Fprintf(w, "received %s with API key %q", r.URL.Path, r.Header.Get("X-Portkey-Api-Key"))
}
