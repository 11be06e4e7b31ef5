// Command proxy is a reverse proxy that lets the users of a service call OpenAI's API
// through the Portkey gateway, with the service's keys. Users send the token that the
// service gave them, and see neither key.
//
//	go run ./examples/proxy
//	curl -H 'Authorization: Bearer token-of-ada' http://127.0.0.1:8080/v1/chat/completions \
//		--json '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}]}'
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "the `address` to listen on")
	provider := flag.String("provider", "", "the \"@slug\" of the `provider` at Portkey that has the OpenAI key")
	flag.Parse()

	opts := portkey.Options{Headers: portkey.Headers{Provider: *provider}}
	if key := os.Getenv("OPENAI_API_KEY"); key != "" {
		opts.Headers.Authorization = "Bearer " + key
	}
	if os.Getenv("PORTKEY_API_KEY") == "" && os.Getenv("PORTKEY_BASE_URL") == "" {
		gateway := portkeytest.Start() // without a key: a gateway inside this program
		defer gateway.Close()
		opts.BaseURL = gateway.URL()
	}
	// A placeholder: replace it and authenticate by your service's own authentication.
	users := map[string]string{"token-of-ada": "ada", "token-of-bob": "bob"}
	handler, err := newHandler(opts, users)
	if err != nil {
		log.Fatal(err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	// No WriteTimeout: it would cut streams off.
	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		server.Shutdown(context.Background())
	}()
	fmt.Printf("listening on http://%s/v1 for the tokens token-of-ada and token-of-bob\n", *addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// endpoints are all that users may call. Others would give them the files, batches and
// settings of the service's account at OpenAI.
var endpoints = []string{
	"POST /v1/chat/completions",
	"POST /v1/embeddings",
	"GET /v1/models",
	"GET /v1/realtime", // a WebSocket
}

// droppedHeaders are not passed on: the credentials of the user, which are for this
// service only, and headers that would choose what the call is billed to or traced as.
var droppedHeaders = []string{
	"Authorization", "Api-Key", "X-Api-Key", "X-Goog-Api-Key", "Cookie",
	"OpenAI-Organization", "OpenAI-Project", "Traceparent", "Tracestate",
}

// newHandler returns the proxy. users are the names of the users by their tokens.
func newHandler(opts portkey.Options, users map[string]string) (http.Handler, error) {
	// A header on a request overrides Options. Without this line, a user could send
	// X-Portkey-Custom-Host to choose the host that receives the service's credential.
	opts.IgnoreRequestHeaders = true
	transport, err := portkey.NewTransport(nil, opts)
	if err != nil {
		return nil, err
	}
	openAI := &url.URL{Scheme: "https", Host: "api.openai.com"}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			// SetURL also clears the inbound Host header, which NewSingleHostReverseProxy keeps.
			r.SetURL(openAI)
			for _, name := range droppedHeaders {
				r.Out.Header.Del(name)
			}
		},
		FlushInterval: -1, // pass each part of a response on at once
	}
	mux := http.NewServeMux()
	for _, pattern := range endpoints {
		mux.Handle(pattern, authenticate(users, proxy))
	}
	return mux, nil
}

// authenticate calls next for requests with a user's token, and adds the user to the
// metadata of the call. The body is passed on unread: to limit the models that a user may
// call, check it here or set limits at Portkey.
func authenticate(users map[string]string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		user, ok := users[token]
		if !ok {
			http.Error(w, "unknown token", http.StatusUnauthorized)
			return
		}
		// In the context, because the user could remove a header by naming it in Connection.
		ctx := portkey.WithMetadata(r.Context(), portkey.Metadata{"_user": user})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
