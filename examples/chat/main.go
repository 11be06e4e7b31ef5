// Command chat sends one prompt through the Portkey gateway with an unchanged
// go-openai client, and prints the answer as it streams.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

const usage = `usage: go run ./examples/chat [flags] PROMPT

Sends PROMPT through the Portkey gateway and prints the answer as it streams,
then what the gateway said about the call, and the headers that went to it.

Without PORTKEY_API_KEY and PORTKEY_BASE_URL the gateway is one inside this
program that repeats the prompt. It needs no key and no network.

  PORTKEY_API_KEY   your Portkey key
  PORTKEY_BASE_URL  a gateway of your own (default ` + portkey.DefaultBaseURL + `)
  OPENAI_API_KEY    the provider's key, if Portkey does not hold it

Flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Stdout, os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chat:", oneLine(err))
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("chat", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // print one line about a wrong flag, not the whole usage
	model := flags.String("model", "gpt-4o-mini", "the `name` of the model")
	provider := flags.String("provider", "", "the provider's `name`, or \"@slug\" at Portkey (default: openai, by the client's URL)")
	config := flags.String("config", "", "the `slug` of a config saved at Portkey")
	trace := flags.String("trace", "", "the trace `ID` of the call (default: a random one)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			io.WriteString(out, usage)
			flags.SetOutput(out)
			flags.PrintDefaults()
		}
		return err
	}
	prompt := strings.TrimSpace(strings.Join(flags.Args(), " "))
	if prompt == "" {
		return errors.New(`the prompt is empty: try go run ./examples/chat "Say this is a test"`)
	}

	opts := portkey.Options{Headers: portkey.Headers{
		Provider: *provider,
		Config:   portkey.ConfigSlug(*config),
	}}
	var inProcess *portkeytest.Gateway
	if os.Getenv("PORTKEY_API_KEY") == "" && os.Getenv("PORTKEY_BASE_URL") == "" {
		inProcess = portkeytest.Start()
		defer inProcess.Close()
		opts.BaseURL = inProcess.URL()
		opts.Headers.APIKey = "pk-of-the-example"
	}

	gateway := cmp.Or(opts.BaseURL, os.Getenv("PORTKEY_BASE_URL"), portkey.DefaultBaseURL)

	// The rest is what any program does: wrap the client's configuration and use the
	// client as before.
	sent := new(recorder)
	cfg := openai.DefaultConfig(os.Getenv("OPENAI_API_KEY"))
	cfg.HTTPClient = &http.Client{Transport: sent}
	cfg, err := portkey.WrapOpenAIConfig(cfg, opts)
	if err != nil {
		return err
	}
	client := openai.NewClientWithConfig(cfg)

	var info portkey.ResponseInfo
	ctx = portkey.WithTrace(ctx, *trace)
	ctx = portkey.WithMetadata(ctx, portkey.Metadata{"example": "chat"})
	ctx = portkey.WithResponseInfo(ctx, &info)
	stream, err := client.CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{
		Model:    *model,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: prompt}},
	})
	if err != nil {
		return explain(err, gateway)
	}
	defer stream.Close()
	chunks := 0
	for ; ; chunks++ {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Fprintln(out)
			return fmt.Errorf("the answer broke off: %w", err)
		}
		for _, choice := range chunk.Choices {
			io.WriteString(out, choice.Delta.Content)
		}
	}

	if chunks == 0 {
		return fmt.Errorf("%s answered, but not as a model does: is it a gateway?", gateway)
	}

	fmt.Fprintf(out, "\n\ntrace ID:       %s\ncache status:   %s\nretry attempts: %d\nprovider:       %s\n",
		info.TraceID, info.CacheStatus, info.RetryAttempts, info.Provider)
	fmt.Fprintf(out, "\nsent to %s:\n", sent.url)
	for _, name := range sent.names() {
		value := sent.header.Get(name)
		if slices.Contains(portkey.SecretHeaders(), name) {
			value = "[redacted]"
		}
		fmt.Fprintf(out, "  %s: %s\n", strings.ToLower(name), value)
	}
	if inProcess != nil {
		for _, r := range inProcess.Requests() {
			fmt.Fprintf(out, "\nthe gateway inside this program received %s %s, %d bytes, metadata %v\n",
				r.Method, r.Path, len(r.Body), r.Metadata())
		}
	}
	return nil
}

// A recorder is a base that records the last request that it sent.
type recorder struct {
	url    string
	header http.Header
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.url, r.header = req.URL.String(), req.Header
	return http.DefaultTransport.RoundTrip(req)
}

// names returns the names of the request's Portkey headers and of Authorization, sorted.
func (r *recorder) names() []string {
	var names []string
	for name := range r.header {
		if strings.HasPrefix(name, "X-Portkey-") || name == "Authorization" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// explain makes an error readable for somebody who has just typed a key or a URL.
func explain(err error, gateway string) error {
	var api *openai.APIError
	var other *openai.RequestError // a response not in OpenAI's format, such as the gateway's own
	var network *net.OpError
	var wrapped *url.Error // names the provider's URL, which was not called
	switch {
	case errors.As(err, &api):
		return fmt.Errorf("the gateway %s answered %d: %s", gateway, api.HTTPStatusCode, api.Message)
	case errors.As(err, &other):
		var body struct{ Message string }
		json.Unmarshal(other.Body, &body)
		return fmt.Errorf("the gateway %s answered %s %s", gateway, other.HTTPStatus, body.Message)
	case errors.As(err, &network):
		return fmt.Errorf("cannot reach the gateway %s: %w", gateway, network)
	case errors.As(err, &wrapped):
		return wrapped.Err
	}
	return err
}

// oneLine returns the text of err without line breaks, and without the keys that a server
// may have repeated in its message.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, name := range []string{"PORTKEY_API_KEY", "OPENAI_API_KEY"} {
		if key := os.Getenv(name); key != "" {
			text = strings.ReplaceAll(text, key, "["+name+"]")
		}
	}
	return text
}
