package portkeytest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

// newOpenAIClient returns a client whose requests go through the gateway.
func newOpenAIClient(t *testing.T, gw *portkeytest.Gateway) *openai.Client {
	t.Helper()
	cfg := openai.DefaultConfig("sk-test")
	cfg.HTTPClient = httpClient
	cfg, err := portkey.WrapOpenAIConfig(cfg, portkey.Options{BaseURL: gw.URL()})
	if err != nil {
		t.Fatal(err)
	}
	return openai.NewClientWithConfig(cfg)
}

// TestOpenAIClientReadsDefaultResponses parses the default responses with go-openai, an independent client.
func TestOpenAIClientReadsDefaultResponses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	client := newOpenAIClient(t, portkeytest.NewGateway(t))
	chatRequest := openai.ChatCompletionRequest{Model: "m1", Messages: []openai.ChatCompletionMessage{
		{Role: "system", Content: "be brief"},
		{Role: "user", MultiContent: []openai.ChatMessagePart{
			{Type: "text", Text: "hi"},
			{Type: "text", Text: "there"},
		}},
	}}
	wantUsage := openai.Usage{PromptTokens: 4, CompletionTokens: 4, TotalTokens: 8}

	t.Run("chat completion", func(t *testing.T) {
		resp, err := client.CreateChatCompletion(ctx, chatRequest)
		if err != nil {
			t.Fatal(err)
		}
		checkEqual(t, "content", resp.Choices[0].Message.Content, "You said: hi there")
		checkEqual(t, "finish reason", resp.Choices[0].FinishReason, openai.FinishReasonStop)
		checkEqual(t, "model", resp.Model, "m1")
		checkEqual(t, "object", resp.Object, "chat.completion")
		checkEqual(t, "usage", resp.Usage, wantUsage)
	})

	t.Run("chat completion stream", func(t *testing.T) {
		request := chatRequest
		request.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
		stream, err := client.CreateChatCompletionStream(ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		var content strings.Builder
		var finishReason openai.FinishReason
		var usage *openai.Usage
		for {
			chunk, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, choice := range chunk.Choices {
				content.WriteString(choice.Delta.Content)
				finishReason = choice.FinishReason
			}
			usage = chunk.Usage
		}
		checkEqual(t, "content", content.String(), "You said: hi there")
		checkEqual(t, "finish reason", finishReason, openai.FinishReasonStop)
		if usage == nil || *usage != wantUsage {
			t.Errorf("usage: got %v, want %v", usage, wantUsage)
		}
	})

	t.Run("completion", func(t *testing.T) {
		resp, err := client.CreateCompletion(ctx, openai.CompletionRequest{Model: "m1", Prompt: "hi"})
		if err != nil {
			t.Fatal(err)
		}
		checkEqual(t, "text", resp.Choices[0].Text, "You said: hi")
	})

	t.Run("embeddings", func(t *testing.T) {
		embed := func(request openai.EmbeddingRequest) []openai.Embedding {
			t.Helper()
			request.Model = "m1"
			resp, err := client.CreateEmbeddings(ctx, request)
			if err != nil {
				t.Fatal(err)
			}
			return resp.Data
		}
		got := embed(openai.EmbeddingRequest{Input: []string{"one", "three", "one"}})
		checkEqual(t, "embeddings", len(got), 3)
		checkEqual(t, "default dimensions", len(got[0].Embedding), 8)
		checkEqual(t, "index", got[2].Index, 2)
		if !slices.Equal(got[0].Embedding, got[2].Embedding) {
			t.Errorf("equal inputs: got %v and %v, want equal embeddings", got[0].Embedding, got[2].Embedding)
		}
		var dotProduct float64
		for i, value := range got[0].Embedding {
			dotProduct += float64(value) * float64(got[1].Embedding[i])
		}
		if math.Abs(dotProduct) >= 1 {
			t.Errorf("dot product: got %v, want less than 1", dotProduct)
		}

		got = embed(openai.EmbeddingRequest{Input: "one", EncodingFormat: openai.EmbeddingEncodingFormatBase64,
			Dimensions: 3})
		checkEqual(t, "dimensions of base64", len(got[0].Embedding), 3)
		got = embed(openai.EmbeddingRequest{Input: []int{1, 2, 3}})
		checkEqual(t, "embeddings of one list of tokens", len(got), 1)
	})

	t.Run("models", func(t *testing.T) {
		models, err := client.ListModels(ctx)
		if err != nil || len(models.Models) == 0 {
			t.Errorf("list: got %v, %v, want at least one", models, err)
		}
		model, err := client.GetModel(ctx, "org/m1")
		if err != nil || model.ID != "org/m1" {
			t.Errorf("got %v, %v, want org/m1", model.ID, err)
		}
	})

	t.Run("files", func(t *testing.T) {
		uploaded, err := client.CreateFileBytes(ctx,
			openai.FileBytesRequest{Name: "a.jsonl", Bytes: []byte("{}\n{}\n"), Purpose: "batch"})
		if err != nil {
			t.Fatal(err)
		}
		if uploaded.FileName != "a.jsonl" || uploaded.Bytes != 6 || uploaded.Purpose != "batch" || uploaded.ID == "" {
			t.Errorf("upload: got %+v, want a.jsonl with 6 bytes and purpose batch", uploaded)
		}
		files, err := client.ListFiles(ctx)
		if err != nil || len(files.Files) != 1 || files.Files[0].ID != uploaded.ID {
			t.Errorf("list: got %v, %v, want the uploaded file", files, err)
		}
		file, err := client.GetFile(ctx, "file-7")
		if err != nil || file.ID != "file-7" {
			t.Errorf("got %v, %v, want file-7", file.ID, err)
		}
		content, err := client.GetFileContent(ctx, "file-7")
		if err != nil {
			t.Fatal(err)
		}
		content.Close()
		if err := client.DeleteFile(ctx, "file-7"); err != nil {
			t.Errorf("delete: %v", err)
		}
	})

	t.Run("image as a URL", func(t *testing.T) {
		resp, err := client.CreateImage(ctx, openai.ImageRequest{Prompt: "a cat", ResponseFormat: "url"})
		if err != nil || resp.Data[0].URL == "" || resp.Data[0].B64JSON != "" {
			t.Errorf("got %+v, %v, want a URL", resp.Data, err)
		}
	})
	t.Run("image as base64", func(t *testing.T) {
		resp, err := client.CreateImage(ctx, openai.ImageRequest{Prompt: "a cat", ResponseFormat: "b64_json"})
		if err != nil || resp.Data[0].URL != "" || resp.Data[0].B64JSON == "" {
			t.Errorf("got %+v, %v, want base64", resp.Data, err)
		}
	})

	t.Run("endpoint without a default response", func(t *testing.T) {
		_, err := client.CreateSpeech(ctx, openai.CreateSpeechRequest{Model: "m1", Input: "hi", Voice: "alloy"})
		var apiErr *openai.APIError
		if !errors.As(err, &apiErr) {
			t.Fatalf("got %v, want an APIError", err)
		}
		checkEqual(t, "status", apiErr.HTTPStatusCode, 404)
		checkEqual(t, "message", apiErr.Message, "openai error: Invalid URL (POST /v1/audio/speech)")
	})
}

// parseEvents returns the names and the JSON data of an event stream.
func parseEvents(t *testing.T, stream string) (names []string, data []map[string]any) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(stream))
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			names = append(names, name)
		}
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var value map[string]any
			if err := json.Unmarshal([]byte(text), &value); err != nil {
				t.Errorf("event %s: %v", text, err)
			}
			data = append(data, value)
		}
	}
	if len(names) != len(data) {
		t.Fatalf("got %d event names and %d data lines, want one of each for an event", len(names), len(data))
	}
	return names, data
}

func TestResponsesAPI(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	header := portkeyHeader("Provider", "openai")
	t.Run("JSON", func(t *testing.T) {
		_, body := send(t, gw, "POST", "/responses", header, `{"model":"m1","input":[{"role":"user","content":"one"},`+
			`{"role":"user","content":[{"type":"input_text","text":"two three"}]}]}`)
		var got struct {
			Object, Status, Model string
			Output                []struct {
				Content []struct{ Text string }
			}
			Usage struct {
				InputTokens int `json:"input_tokens"`
				TotalTokens int `json:"total_tokens"`
			}
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		checkEqual(t, "object", got.Object, "response")
		checkEqual(t, "status", got.Status, "completed")
		checkEqual(t, "model", got.Model, "m1")
		checkEqual(t, "text", got.Output[0].Content[0].Text, "You said: two three")
		checkEqual(t, "input tokens", got.Usage.InputTokens, 3)
		checkEqual(t, "total tokens", got.Usage.TotalTokens, 7)
	})
	t.Run("stream", func(t *testing.T) {
		resp, body := send(t, gw, "POST", "/responses", header, `{"model":"m1","input":"hi","stream":true}`)
		checkEqual(t, "content type", resp.Header.Get("Content-Type"), "text/event-stream")
		names, data := parseEvents(t, body)
		checkEqual(t, "event names", strings.ReplaceAll(strings.Join(names, " "), "response.", ""),
			"created in_progress output_item.added content_part.added output_text.delta output_text.delta "+
				"output_text.delta output_text.done content_part.done output_item.done completed")
		text := ""
		for i, event := range data {
			checkEqual(t, "type", event["type"], any(names[i]))
			checkEqual(t, "sequence number", event["sequence_number"], any(float64(i)))
			if delta, ok := event["delta"].(string); ok {
				text += delta
			}
		}
		checkEqual(t, "text", text, "You said: hi")
	})
}

func TestMessagesAPI(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	header := portkeyHeader("Provider", "anthropic")
	t.Run("JSON", func(t *testing.T) {
		_, body := send(t, gw, "POST", "/messages", header,
			`{"model":"m1","max_tokens":9,"messages":[{"role":"user","content":"hi there"}]}`)
		var got struct {
			Type, Role, Model string
			Content           []struct{ Text string }
			StopReason        string `json:"stop_reason"`
			Usage             struct {
				InputTokens  int `json:"input_tokens"`
				OutputTokens int `json:"output_tokens"`
			}
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		checkEqual(t, "type", got.Type, "message")
		checkEqual(t, "role", got.Role, "assistant")
		checkEqual(t, "model", got.Model, "m1")
		checkEqual(t, "stop reason", got.StopReason, "end_turn")
		checkEqual(t, "text", got.Content[0].Text, "You said: hi there")
		checkEqual(t, "input tokens", got.Usage.InputTokens, 2)
		checkEqual(t, "output tokens", got.Usage.OutputTokens, 4)
	})
	t.Run("stream", func(t *testing.T) {
		_, body := send(t, gw, "POST", "/messages", header,
			`{"model":"m1","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi there"}]}`)
		names, data := parseEvents(t, body)
		checkEqual(t, "event names", strings.Join(names, " "),
			"message_start content_block_start ping content_block_delta content_block_delta "+
				"content_block_delta content_block_delta content_block_stop message_delta message_stop")
		text := ""
		for i, event := range data {
			checkEqual(t, "type", event["type"], any(names[i]))
			if delta, ok := event["delta"].(map[string]any); ok && delta["text"] != nil {
				text += delta["text"].(string)
			}
		}
		checkEqual(t, "text", text, "You said: hi there")
	})
	t.Run("token count", func(t *testing.T) {
		_, body := send(t, gw, "POST", "/messages/count_tokens", header,
			`{"model":"m1","messages":[{"role":"user","content":"hi there"}]}`)
		checkEqual(t, "body", body, `{"input_tokens":2}`)
	})
}

func TestEchoOfUnusualBodies(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	for _, tt := range []struct{ body, want string }{
		{`{}`, "You said: nothing"},
		{`null`, "You said: nothing"},
		{`[]`, "You said: nothing"},
		{`{"messages":"hi"}`, "You said: hi"},
		{`{"messages":[]}`, "You said: nothing"},
		{`{"messages":[1,{"content":null}]}`, "You said: nothing"},
	} {
		t.Run(tt.body, func(t *testing.T) {
			resp, body := postChat(t, gw, portkeyHeader("Provider", "openai"), tt.body)
			checkEqual(t, "status", resp.StatusCode, 200)
			checkContains(t, "body", body, `"content":"`+tt.want+`"`)
		})
	}
}

func TestErrorsOfDefaultResponses(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	t.Run("chat completion without a content type", func(t *testing.T) {
		header := portkeyHeader("Provider", "openai")
		header.Del("Content-Type")
		resp, body := postChat(t, gw, header, chatBody)
		checkEqual(t, "status", resp.StatusCode, 400)
		checkContains(t, "body", body, "We could not parse the JSON body")
	})
	t.Run("upload without a file", func(t *testing.T) {
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		w.WriteField("purpose", "batch")
		w.Close()
		header := portkeyHeader("Provider", "openai")
		header.Set("Content-Type", w.FormDataContentType())
		resp, body := send(t, gw, "POST", "/files", header, form.String())
		checkEqual(t, "status", resp.StatusCode, 400)
		checkContains(t, "body", body, "'file' is a required property")
	})
}

func TestHead(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	t.Run("without a content type", func(t *testing.T) {
		resp, _ := send(t, gw, "HEAD", "/models", http.Header{"X-Portkey-Provider": {"openai"}}, "")
		checkEqual(t, "status", resp.StatusCode, 200)
	})
	t.Run("with JSON as its content type, but no body", func(t *testing.T) {
		resp, _ := send(t, gw, "HEAD", "/models", portkeyHeader("Provider", "openai"), "")
		checkEqual(t, "status", resp.StatusCode, 500)
	})
}
