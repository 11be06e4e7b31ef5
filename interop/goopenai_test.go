package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/interop/internal/realgateway"
	openai "github.com/sashabaranov/go-openai"
)

// rerouted returns a client of OpenAI that was wrapped: its requests are for
// https://api.openai.com/v1.
func rerouted(t *testing.T, h portkey.Headers) *openai.Client {
	t.Helper()
	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig(clientKey),
		portkey.Options{BaseURL: realgateway.URL(t), Headers: h})
	if err != nil {
		t.Fatal(err)
	}
	return openai.NewClientWithConfig(cfg)
}

// direct returns a client that was made for the gateway.
func direct(t *testing.T, h portkey.Headers) *openai.Client {
	t.Helper()
	tr, err := portkey.NewTransport(nil, portkey.Options{BaseURL: realgateway.URL(t), Headers: h})
	if err != nil {
		t.Fatal(err)
	}
	return openai.NewClientWithConfig(portkey.OpenAIConfig(clientKey, tr))
}

// bothWays runs test with either kind of client. connect makes one of provider
// openai, whose requests end at u.
func bothWays(t *testing.T, test func(t *testing.T, connect func(u *upstream) *openai.Client)) {
	t.Parallel()
	t.Run("rerouted", func(t *testing.T) {
		t.Parallel()
		test(t, func(u *upstream) *openai.Client {
			return rerouted(t, portkey.Headers{CustomHost: u.URL + "/v1"}) // api.openai.com says the provider
		})
	})
	t.Run("direct", func(t *testing.T) {
		t.Parallel()
		test(t, func(u *upstream) *openai.Client {
			return direct(t, portkey.Headers{CustomHost: u.URL + "/v1", Provider: "openai"})
		})
	})
}

func chatRequest(model string) openai.ChatCompletionRequest {
	return openai.ChatCompletionRequest{
		Model:               model,
		Messages:            []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "grüß dich"}},
		MaxCompletionTokens: 16, // Anthropic needs it
	}
}

// chat makes a chat completion that must succeed, and returns the answer.
func chat(t *testing.T, ctx context.Context, client *openai.Client, model string) string {
	t.Helper()
	resp, err := client.CreateChatCompletion(ctx, chatRequest(model))
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Choices) != 1 {
		t.Fatalf("choices: got %d, want 1", len(resp.Choices))
	}
	return resp.Choices[0].Message.Content
}

// chatError makes a chat completion that must fail with an error of the API.
func chatError(t *testing.T, ctx context.Context, client *openai.Client, model string) *openai.APIError {
	t.Helper()
	_, err := client.CreateChatCompletion(ctx, chatRequest(model))
	var apiErr *openai.APIError
	if !errors.As(err, &apiErr) {
		t.Fatalf("error: got %v, want an *openai.APIError", err)
	}
	return apiErr
}

// answered is what the gateway says of a call that provider answered at once.
func answered(provider, trace string) portkey.ResponseInfo {
	return portkey.ResponseInfo{TraceID: trace, Provider: provider, LastUsedOption: "config", CacheStatus: portkey.CacheDisabled, StatusCode: http.StatusOK}
}

func TestChatCompletion(t *testing.T) {
	bothWays(t, func(t *testing.T, connect func(*upstream) *openai.Client) {
		u := newUpstream(t, nil)
		client := connect(u)
		var info portkey.ResponseInfo
		ctx := portkey.WithResponseInfo(portkey.WithTrace(bounded(t), "trace-chat"), &info)

		check(t, "answer", chat(t, ctx, client, "m1"), "hello")

		got := u.only(t)
		got.checkURL(t, http.MethodPost, "/v1/chat/completions")
		got.checkHeader(t, "Authorization", "Bearer "+clientKey)
		check(t, "host upstream", "http://"+got.Host, u.URL)
		// The gateway sends every chat completion with a "stream".
		checkJSON(t, "body upstream", got.Body,
			`{"model":"m1","messages":[{"role":"user","content":"grüß dich"}],"max_completion_tokens":16,"stream":false}`)
		check(t, "ResponseInfo", info, answered("openai", "trace-chat"))
	})
}

// That each chunk is received before the next one is sent is what the upstream
// waits for: were anything in between to buffer, the call would end by its deadline.
func TestChatCompletionStreamIsNotBuffered(t *testing.T) {
	bothWays(t, func(t *testing.T, connect func(*upstream) *openai.Client) {
		next := make(chan struct{})
		u := newUpstream(t, streamChat(next))
		client := connect(u)
		var info portkey.ResponseInfo
		ctx := portkey.WithResponseInfo(portkey.WithTrace(bounded(t), "trace-stream"), &info)

		stream, err := client.CreateChatCompletionStream(ctx, chatRequest("m1"))
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		check(t, "ResponseInfo before the first chunk", info, answered("openai", "trace-stream"))
		for i, want := range pieces {
			if i > 0 {
				select {
				case next <- struct{}{}:
				case <-ctx.Done():
					t.Fatalf("chunk %d: the upstream does not wait for its turn: %v", i, ctx.Err())
				}
			}
			chunk, err := stream.Recv()
			if err != nil {
				t.Fatalf("chunk %d: %v", i, err)
			}
			check(t, fmt.Sprintf("chunk %d", i), chunk.Choices[0].Delta.Content, want)
		}
		if _, err := stream.Recv(); err != io.EOF {
			t.Errorf("after the last chunk: got %v, want %v", err, io.EOF)
		}

		got := u.only(t)
		got.checkURL(t, http.MethodPost, "/v1/chat/completions")
		got.checkHeader(t, "Authorization", "Bearer "+clientKey)
		checkJSON(t, "body upstream", got.Body,
			`{"model":"m1","messages":[{"role":"user","content":"grüß dich"}],"max_completion_tokens":16,"stream":true}`)
	})
}

func TestEmbeddings(t *testing.T) {
	bothWays(t, func(t *testing.T, connect func(*upstream) *openai.Client) {
		u := newUpstream(t, nil)
		client := connect(u)
		var info portkey.ResponseInfo
		ctx := portkey.WithResponseInfo(portkey.WithTrace(bounded(t), "trace-embed"), &info)

		resp, err := client.CreateEmbeddings(ctx, openai.EmbeddingRequest{Model: "m1", Input: "hi"})
		if err != nil {
			t.Fatal(err)
		}
		check(t, "embedding", fmt.Sprint(resp.Data[0].Embedding), "[0.5 -0.25]")

		got := u.only(t)
		got.checkURL(t, http.MethodPost, "/v1/embeddings")
		got.checkHeader(t, "Authorization", "Bearer "+clientKey)
		checkJSON(t, "body upstream", got.Body, `{"model":"m1","input":"hi"}`)
		check(t, "ResponseInfo", info, answered("openai", "trace-embed"))
	})
}

// GET /v1/models is a route that the gateway hands on as it is.
func TestListModels(t *testing.T) {
	bothWays(t, func(t *testing.T, connect func(*upstream) *openai.Client) {
		u := newUpstream(t, nil)
		client := connect(u)
		var info portkey.ResponseInfo
		ctx := portkey.WithResponseInfo(portkey.WithTrace(bounded(t), "trace-models"), &info)

		list, err := client.ListModels(ctx)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "number of models", len(list.Models), 2)
		check(t, "second model", list.Models[1].ID, "m2")

		got := u.only(t)
		got.checkURL(t, http.MethodGet, "/v1/models")
		got.checkHeader(t, "Authorization", "Bearer "+clientKey)
		check(t, "ResponseInfo", info, answered("openai", "trace-models"))
	})
}

func TestFileUpload(t *testing.T) {
	bothWays(t, func(t *testing.T, connect func(*upstream) *openai.Client) {
		u := newUpstream(t, nil)
		client := connect(u)
		var info portkey.ResponseInfo
		ctx := portkey.WithResponseInfo(portkey.WithTrace(bounded(t), "trace-file"), &info)
		content := []byte("{\"a\":1}\n\x00\xff")

		file, err := client.CreateFileBytes(ctx, openai.FileBytesRequest{
			Name: "train.jsonl", Bytes: content, Purpose: openai.PurposeFineTune,
		})
		if err != nil {
			t.Fatal(err)
		}
		check(t, "file ID", file.ID, "file-1")

		got := u.only(t)
		got.checkURL(t, http.MethodPost, "/v1/files")
		got.checkHeader(t, "Authorization", "Bearer "+clientKey)
		_, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
		if err != nil {
			t.Fatalf("content type upstream: got %q: %v", got.Header.Get("Content-Type"), err)
		}
		form, err := multipart.NewReader(bytes.NewReader(got.Body), params["boundary"]).ReadForm(1 << 20)
		if err != nil {
			t.Fatalf("form upstream: %v", err)
		}
		check(t, "purpose upstream", strings.Join(form.Value["purpose"], " | "), "fine-tune")
		if len(form.File["file"]) != 1 {
			t.Fatalf("files upstream: got %d, want 1", len(form.File["file"]))
		}
		check(t, "file name upstream", form.File["file"][0].Filename, "train.jsonl")
		f, err := form.File["file"][0].Open()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		uploaded, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "file content upstream", string(uploaded), string(content))
		check(t, "ResponseInfo", info, answered("openai", "trace-file"))
	})
}

func TestUpstreamErrorReachesTheCaller(t *testing.T) {
	bothWays(t, func(t *testing.T, connect func(*upstream) *openai.Client) {
		u := newUpstream(t, reply(http.StatusTooManyRequests,
			`{"error":{"message":"slow down, please","type":"rate_limit_error","param":null,"code":"rate_limit"}}`))
		client := connect(u)
		var info portkey.ResponseInfo
		ctx := portkey.WithResponseInfo(portkey.WithTrace(bounded(t), "trace-429"), &info)

		apiErr := chatError(t, ctx, client, "m1")

		check(t, "status", apiErr.HTTPStatusCode, http.StatusTooManyRequests)
		contains(t, "message", apiErr.Message, "slow down, please")
		check(t, "type", apiErr.Type, "rate_limit_error")
		check(t, "requests upstream", len(u.requests()), 1)
		want := answered("openai", "trace-429")
		want.StatusCode = http.StatusTooManyRequests
		check(t, "ResponseInfo", info, want)
	})
}

// The gateway's own error for an unsupported endpoint reaches the caller.
func TestGatewayExceptionIsReported(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	client := direct(t, portkey.Headers{CustomHost: u.URL, Provider: "groq"})
	var info portkey.ResponseInfo

	_, err := client.CreateEmbeddings(portkey.WithResponseInfo(bounded(t), &info),
		openai.EmbeddingRequest{Model: "m1", Input: "hi"})

	if err == nil {
		t.Error("got no error, want one that names what groq lacks")
	}
	check(t, "ResponseInfo", info, portkey.ResponseInfo{StatusCode: http.StatusInternalServerError, GatewayException: true})
	check(t, "requests upstream", len(u.requests()), 0)
}

// A client that was made for the gateway calls no provider in particular. Of a
// request that it does not route, the gateway says nothing in headers.
func TestDirectClientWithoutAProviderIsRefused(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	client := direct(t, portkey.Headers{CustomHost: u.URL + "/v1"})
	var info portkey.ResponseInfo

	_, err := client.CreateChatCompletion(portkey.WithResponseInfo(bounded(t), &info), chatRequest("m1"))

	var refused *openai.RequestError
	if !errors.As(err, &refused) {
		t.Fatalf("error: got %v, want an *openai.RequestError", err)
	}
	check(t, "status", refused.HTTPStatusCode, http.StatusBadRequest)
	contains(t, "body", string(refused.Body), "x-portkey-provider header is required")
	check(t, "ResponseInfo", info, portkey.ResponseInfo{StatusCode: http.StatusBadRequest})
	check(t, "requests upstream", len(u.requests()), 0)
}

// What calls say must not get mixed up, however many run at once.
func TestCallsAtTheSameTimeKeepTheirOwn(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	client := rerouted(t, portkey.Headers{CustomHost: u.URL + "/v1", ForwardHeaders: []string{"X-Call"}})
	ctx := bounded(t)

	var wg sync.WaitGroup
	for i := range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			name := fmt.Sprintf("call-%d", i)
			var info portkey.ResponseInfo
			ctx := portkey.WithResponseInfo(portkey.WithTrace(ctx, "trace-"+name), &info)
			ctx = portkey.WithHeaders(ctx, portkey.Headers{Extra: map[string]string{"X-Call": name}})
			if _, err := client.CreateChatCompletion(ctx, chatRequest(name)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			check(t, "ResponseInfo", info, answered("openai", "trace-"+name))
		}()
	}
	wg.Wait()

	all := u.requests()
	check(t, "requests upstream", len(all), 20)
	for _, r := range all {
		r.checkClean(t)
		contains(t, "body upstream", string(r.Body), `"model":"`+r.Header.Get("X-Call")+`"`)
	}
}
