package portkeytest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

// ask is what is to be tested: a program's own code, with the client that it is given.
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

func newClient(gw *portkeytest.Gateway, headers portkey.Headers) *openai.Client {
	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig("sk-test"), portkey.Options{BaseURL: gw.URL(), Headers: headers})
	if err != nil {
		panic(err)
	}
	return openai.NewClientWithConfig(cfg)
}

func Example() {
	gw := portkeytest.Start() // in a test: portkeytest.NewGateway(t), which needs no Close
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

// An answer of one's own.
func ExampleGateway_Handle() {
	gw := portkeytest.Start()
	defer gw.Close()
	gw.Handle("POST /chat/completions", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"choices":[{"message":{"role":"assistant","content":"It is me."}}]}`)
	}))

	fmt.Println(ask(context.Background(), newClient(gw, portkey.Headers{}), "Is it you?"))
	// Output: It is me. <nil>
}

// The first call is limited, the second one is not.
func ExampleGateway_Next() {
	gw := portkeytest.Start()
	defer gw.Close()
	gw.Next(portkeytest.Fault{Status: http.StatusTooManyRequests, RetryAfter: 2 * time.Second})
	client := newClient(gw, portkey.Headers{})

	_, err := ask(context.Background(), client, "Is it you?")
	var limited *openai.APIError
	fmt.Println(errors.As(err, &limited), limited.HTTPStatusCode, limited.Message)
	fmt.Println(ask(context.Background(), client, "Is it you?"))
	// Output:
	// true 429 openai error: 429 Too Many Requests
	// You said: Is it you? <nil>
}

// A config is followed: here the second target answers, because the first fails.
func ExampleGateway_Next_fallback() {
	gw := portkeytest.Start()
	defer gw.Close()
	gw.Next(portkeytest.Fault{Status: http.StatusServiceUnavailable})
	client := newClient(gw, portkey.Headers{Config: portkey.ConfigObject{
		Strategy: &portkey.Strategy{Mode: "fallback"},
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

// What arrived is for the test to look at.
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
