package portkey_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

// An existing go-openai client goes through Portkey: its configuration is
// wrapped, and nothing else changes.
func ExampleWrapOpenAIConfig() {
	gateway := portkeytest.Start() // in a program: nothing, $PORTKEY_API_KEY says it all
	defer gateway.Close()

	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig("sk-..."), portkey.Options{BaseURL: gateway.URL()})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := openai.NewClientWithConfig(cfg)

	ctx := portkey.WithTrace(context.Background(), "checkout-42")
	ctx = portkey.WithMetadata(ctx, portkey.Metadata{"_user": "u-17"})
	resp, err := client.CreateChatCompletion(ctx, openai.ChatCompletionRequest{
		Model:    openai.GPT4oMini,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "hello"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Choices[0].Message.Content)
	fmt.Println(resp.Header().Get("x-portkey-trace-id"))
	// Output:
	// You said: hello
	// checkout-42
}

// A new client talks to the gateway directly. Portkey holds the provider's key.
func ExampleOpenAIConfig() {
	transport, err := portkey.NewTransport(nil, portkey.Options{
		Headers: portkey.Headers{APIKey: "pk-...", Provider: "@openai-prod"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg := portkey.OpenAIConfig("", transport)
	fmt.Println(cfg.BaseURL)
	// Output: https://api.portkey.ai/v1
}

// Any client that takes an http.Client, here a plain one, goes through Portkey.
func ExampleWrapClient() {
	gateway := portkeytest.Start()
	defer gateway.Close()

	client, err := portkey.WrapClient(http.DefaultClient, portkey.Options{
		BaseURL: gateway.URL(),
		Headers: portkey.Headers{Metadata: portkey.Metadata{"_environment": "staging"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := client.Get("https://api.openai.com/v1/models")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	got := gateway.Requests()[0]
	fmt.Println(got.Path, got.Provider(), got.Metadata())
	// Output: /v1/models openai map[_environment:staging]
}

// The contexts of a call add up; the inner one wins.
func ExampleWithMetadata() {
	ctx := portkey.WithMetadata(context.Background(), portkey.Metadata{"_user": "u-17", "plan": "free"})
	ctx = portkey.WithMetadata(ctx, portkey.Metadata{"plan": "gold"})
	fmt.Println(portkey.HeadersFromContext(ctx).Metadata)
	// Output: map[_user:u-17 plan:gold]
}

// One call with parameters of its own.
func ExampleWithHeaders() {
	ctx := portkey.WithHeaders(context.Background(), portkey.Headers{
		Config: portkey.ConfigJSON(`{"retry":{"attempts":3},"cache":{"mode":"simple"}}`),
		Debug:  portkey.Bool(false),
	})
	fmt.Println(portkey.HeadersFromContext(ctx)) // a config object may hold keys
	// Output: portkey.Headers{x-portkey-config: "[redacted]", x-portkey-debug: "false"}
}

// A mistake in a config is found when the Transport is made, with its path.
func ExampleConfigObject() {
	config := portkey.ConfigObject{
		Strategy: &portkey.Strategy{Mode: "fallback", OnStatusCodes: []int{429, 503}},
		Targets: []portkey.ConfigObject{
			{Provider: "@openai-prod"},
			{Provider: "Anthropic", APIKey: "sk-ant-..."},
		},
	}
	_, err := portkey.NewTransport(nil, portkey.Options{Headers: portkey.Headers{APIKey: "pk-...", Config: config}})
	fmt.Println(err)
	// Output: portkey: invalid header x-portkey-config: targets[1].provider is not a provider's name in lower case, or @slug
}

// What the gateway says about a call, whether the client shows it or not.
func ExampleWithResponseInfo() {
	gateway := portkeytest.Start()
	defer gateway.Close()
	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig("sk-..."), portkey.Options{BaseURL: gateway.URL()})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := openai.NewClientWithConfig(cfg)

	var info portkey.ResponseInfo
	ctx, trace := portkey.WithNewTrace(context.Background())
	ctx = portkey.WithResponseInfo(ctx, &info)
	_, err = client.CreateChatCompletion(ctx, openai.ChatCompletionRequest{Model: openai.GPT4oMini})
	fmt.Println(err, info.Provider, info.CacheStatus, info.RetryAttempts, info.TraceID == trace)
	// Output: <nil> openai DISABLED 0 true
}
