package portkeytest_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

// ask is the code under test: a program's own function that takes an OpenAI client.
func ask(ctx context.Context, client *openai.Client, question string) (string, error) {
	resp, err := client.CreateChatCompletion(ctx, openai.ChatCompletionRequest{
		Model:    openai.GPT4oMini,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: question}},
	})
	if err != nil {
		return "", err
	}
	return resp.Choices[0].Message.Content, nil
}

// newClient returns a client whose requests go through the gateway.
func newClient(gw *portkeytest.Gateway, headers portkey.Headers) *openai.Client {
	opts := portkey.Options{BaseURL: gw.URL(), Headers: headers}
	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig("sk-test"), opts)
	if err != nil {
		panic(err)
	}
	return openai.NewClientWithConfig(cfg)
}

// askStreaming is like ask, but streams the answer. It returns an error if the answer is incomplete: the stream of a
// provider that breaks off ends without an error.
func askStreaming(ctx context.Context, client *openai.Client, question string) (string, error) {
	stream, err := client.CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{
		Model:    openai.GPT4oMini,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: question}},
	})
	if err != nil {
		return "", err
	}
	defer stream.Close()
	var answer strings.Builder
	var finishReason openai.FinishReason
	for {
		chunk, err := stream.Recv()
		switch {
		case err == io.EOF && finishReason == "":
			return answer.String(), errors.New("the answer is incomplete")
		case err == io.EOF:
			return answer.String(), nil
		case err != nil:
			return answer.String(), err
		}
		for _, choice := range chunk.Choices {
			answer.WriteString(choice.Delta.Content)
			finishReason = cmp.Or(choice.FinishReason, finishReason)
		}
	}
}

func Example() {
	gw := portkeytest.Start() // in a test, use portkeytest.NewGateway(t), which needs no Close
	defer gw.Close()
	client := newClient(gw, portkey.Headers{Metadata: portkey.Metadata{"_environment": "test"}})

	answer, err := ask(portkey.WithTrace(context.Background(), "checkout-42"), client, "Is it you?")
	fmt.Println(answer, err)

	got := gw.Requests()[0]
	fmt.Println(got.Method, got.Path, got.Provider(), got.TraceID(), got.Metadata())
	// Output:
	// You said: Is it you? <nil>
	// POST /v1/chat/completions openai checkout-42 map[_environment:test]
}

// Replace the default response of an endpoint.
func ExampleGateway_Handle() {
	gw := portkeytest.Start()
	defer gw.Close()
	gw.Handle("POST /chat/completions", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"choices":[{"message":{"role":"assistant","content":"It is me."}}]}`)
	}))

	fmt.Println(ask(context.Background(), newClient(gw, portkey.Headers{}), "Is it you?"))
	// Output: It is me. <nil>
}

// The first call fails with a rate limit error, the second one succeeds.
func ExampleGateway_Next() {
	gw := portkeytest.Start()
	defer gw.Close()
	gw.Next(portkeytest.Fault{Status: http.StatusTooManyRequests, RetryAfter: 2 * time.Second})
	client := newClient(gw, portkey.Headers{})

	_, err := ask(context.Background(), client, "Is it you?")
	var apiErr *openai.APIError
	if errors.As(err, &apiErr) {
		fmt.Println(apiErr.HTTPStatusCode, apiErr.Message)
	}
	fmt.Println(ask(context.Background(), client, "Is it you?"))
	// Output:
	// 429 openai error: 429 Too Many Requests
	// You said: Is it you? <nil>
}

// The first target of a fallback config fails, so the gateway calls the second one.
func ExampleGateway_Next_fallback() {
	gw := portkeytest.Start()
	defer gw.Close()
	gw.Next(portkeytest.Fault{Status: http.StatusServiceUnavailable})
	client := newClient(gw, portkey.Headers{Config: portkey.ConfigObject{
		Strategy: &portkey.Strategy{Mode: portkey.ModeFallback},
		Targets:  []portkey.ConfigObject{{Provider: "openai", APIKey: "sk-1"}, {Provider: "groq", APIKey: "gsk-1"}},
	}})

	var info portkey.ResponseInfo
	answer, err := ask(portkey.WithResponseInfo(context.Background(), &info), client, "Is it you?")
	fmt.Println(answer, err)
	fmt.Println(info.Provider, info.LastUsedOption)
	// Output:
	// You said: Is it you? <nil>
	// groq config.targets[1]
}

// The provider breaks off in the middle of a stream. The gateway hides it: the stream only ends too early.
func ExampleGateway_Next_incompleteStream() {
	gw := portkeytest.Start()
	defer gw.Close()
	client := newClient(gw, portkey.Headers{})

	gw.Next(portkeytest.Fault{EndEarly: true})
	answer, err := askStreaming(context.Background(), client, "Is it you?")
	fmt.Printf("%q, %v\n", answer, err)
	// Output: "You said: Is ", the answer is incomplete
}

// The gateway is down.
func ExampleGateway_Close() {
	gw := portkeytest.Start()
	client := newClient(gw, portkey.Headers{})
	gw.Close()

	_, err := ask(context.Background(), client, "Is it you?")
	var netErr *net.OpError
	if errors.As(err, &netErr) {
		fmt.Println(netErr.Op, "failed")
	}
	// Output: dial failed
}

// The hosted gateway in saved-only mode refuses the bare name of a provider.
func ExampleGateway_savedOnly() {
	gw := portkeytest.Start()
	defer gw.Close()
	gw.SavedOnly = true

	_, err := ask(context.Background(), newClient(gw, portkey.Headers{}), "Is it you?")
	var apiErr *openai.APIError
	if errors.As(err, &apiErr) {
		fmt.Println(apiErr.HTTPStatusCode, apiErr.Code)
	}
	fmt.Println(ask(context.Background(), newClient(gw, portkey.Headers{Provider: "@openai-prod"}), "Is it you?"))
	// Output:
	// 400 inline_provider_blocked
	// You said: Is it you? <nil>
}

// Check what the client sent.
func ExampleGateway_Requests() {
	gw := portkeytest.Start()
	defer gw.Close()
	client := newClient(gw, portkey.Headers{Config: portkey.ConfigSlug("pc-1")})
	ask(context.Background(), client, "one")
	ask(context.Background(), client, "two")

	for _, r := range gw.Requests() {
		fmt.Println(r.Config(), len(r.Body) > 0)
	}
	// Output:
	// pc-1 true
	// pc-1 true
}
