// Command retries makes a call that fails twice on the way to the gateway, and then
// succeeds. The retrying RoundTripper is the base of the Transport, so that all attempts
// have one trace.
//
//	go run ./examples/retries
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
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
	var opts portkey.Options
	var gateway *portkeytest.Gateway
	if os.Getenv("PORTKEY_API_KEY") == "" && os.Getenv("PORTKEY_BASE_URL") == "" {
		gateway = portkeytest.Start() // without a key: a gateway inside this program
		defer gateway.Close()
		gateway.Next(portkeytest.Fault{Reset: true}, portkeytest.Fault{Reset: true})
		opts.BaseURL = gateway.URL()
	}

	retrying := portkey.NewRetryTransport(nil)
	retrying.Client.RetryMax = 3 // retries after the first attempt; the default is 2
	retrying.Client.RetryWaitMin, retrying.Client.RetryWaitMax = 10*time.Millisecond, time.Second
	retrying.Client.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil)) // by default, nothing is logged

	cfg := openai.DefaultConfig(os.Getenv("OPENAI_API_KEY"))
	cfg.HTTPClient = &http.Client{Transport: retrying}
	cfg, err := portkey.WrapOpenAIConfig(cfg, opts)
	if err != nil {
		return err
	}
	answer, err := openai.NewClientWithConfig(cfg).CreateChatCompletion(ctx, openai.ChatCompletionRequest{
		Model:    openai.GPT4oMini,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "Are you there?"}},
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, answer.Choices[0].Message.Content)
	if gateway != nil {
		traces := make(map[string]int)
		for _, r := range gateway.Requests() {
			traces[r.TraceID()]++
		}
		fmt.Fprintf(out, "attempts: %d, traces: %d\n", len(gateway.Requests()), len(traces))
	}
	return nil
}
