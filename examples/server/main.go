// Command server is a web service that calls a model for its users. Each call has the
// user and the trace of the request for which it is made.
//
//	go run ./examples/server
//	curl -H 'X-User: u-17' 'http://127.0.0.1:8080/ask?q=hello'
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "the `address` to listen on")
	flag.Parse()
	var opts portkey.Options
	if os.Getenv("PORTKEY_API_KEY") == "" && os.Getenv("PORTKEY_BASE_URL") == "" {
		gateway := portkeytest.Start() // without a key: a gateway inside this program
		defer gateway.Close()
		opts.BaseURL = gateway.URL()
	}
	handler, err := newHandler(opts)
	if err != nil {
		log.Fatal(err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		server.Shutdown(context.Background())
	}()
	fmt.Printf("try: curl -H 'X-User: u-17' 'http://%s/ask?q=hello'\n", *addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// newHandler returns the service. All requests share one client; the user and the trace
// are in their contexts.
func newHandler(opts portkey.Options) (http.Handler, error) {
	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig(os.Getenv("OPENAI_API_KEY")), opts)
	if err != nil {
		return nil, err
	}
	client := openai.NewClientWithConfig(cfg)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /ask", func(w http.ResponseWriter, r *http.Request) {
		answer, err := client.CreateChatCompletion(r.Context(), openai.ChatCompletionRequest{
			Model:    openai.GPT4oMini,
			Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: r.FormValue("q")}},
		})
		if err != nil {
			log.Print(err)
			http.Error(w, "the model does not answer", http.StatusBadGateway)
			return
		}
		fmt.Fprintln(w, answer.Choices[0].Message.Content)
	})
	return tagged(mux), nil
}

// tagged adds the user and a trace to the context of each request. All calls that the
// handler makes with this context are logged with them.
func tagged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, trace := portkey.WithNewTrace(r.Context())
		ctx = portkey.WithMetadata(ctx, portkey.Metadata{"_user": r.Header.Get("X-User"), "path": r.URL.Path})
		w.Header().Set("X-Trace-Id", trace) // to find the call at Portkey
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
