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
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

// openAI returns a client whose calls go through the gateway.
func openAI(t *testing.T, gw *portkeytest.Gateway) *openai.Client {
	t.Helper()
	cfg := openai.DefaultConfig("sk-test")
	cfg.HTTPClient = client
	cfg, err := portkey.WrapOpenAIConfig(cfg, portkey.Options{BaseURL: gw.URL()})
	if err != nil {
		t.Fatal(err)
	}
	return openai.NewClientWithConfig(cfg)
}

// A client of other people's reads what is answered.
func TestAnswersAreThoseOfOpenAI(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := openAI(t, portkeytest.NewGateway(t))

	request := openai.ChatCompletionRequest{Model: "m1", Messages: []openai.ChatCompletionMessage{
		{Role: "system", Content: "be brief"},
		{Role: "user", MultiContent: []openai.ChatMessagePart{{Type: "text", Text: "hi"}, {Type: "text", Text: "there"}}},
	}}
	resp, err := c.CreateChatCompletion(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "chat", resp.Choices[0].Message.Content, "You said: hi there")
	check(t, "chat: model, object, finish reason", resp.Model+" "+resp.Object+" "+string(resp.Choices[0].FinishReason), "m1 chat.completion stop")
	check(t, "chat: usage", resp.Usage, openai.Usage{PromptTokens: 4, CompletionTokens: 4, TotalTokens: 8})

	request.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	stream, err := c.CreateChatCompletionStream(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var said strings.Builder
	var finish openai.FinishReason
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
			said.WriteString(choice.Delta.Content)
			finish = choice.FinishReason
		}
		usage = chunk.Usage
	}
	check(t, "chat streamed", said.String(), "You said: hi there")
	check(t, "chat streamed: finish reason", finish, openai.FinishReasonStop)
	if usage == nil || usage.TotalTokens != 8 {
		t.Errorf("chat streamed: got usage %v, want one of 8 tokens", usage)
	}

	completion, err := c.CreateCompletion(ctx, openai.CompletionRequest{Model: "m1", Prompt: "hi"})
	if err != nil {
		t.Fatal(err)
	}
	check(t, "completion", completion.Choices[0].Text, "You said: hi")

	vector := func(input any, format openai.EmbeddingEncodingFormat, dimensions int) []openai.Embedding {
		resp, err := c.CreateEmbeddings(ctx, openai.EmbeddingRequest{Model: "m1", Input: input, EncodingFormat: format, Dimensions: dimensions})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Data
	}
	one := vector([]string{"one", "three", "one"}, openai.EmbeddingEncodingFormatFloat, 0)
	check(t, "embeddings", len(one), 3)
	check(t, "embedding: dimensions", len(one[0].Embedding), 8)
	check(t, "embeddings: index", one[2].Index, 2)
	var sum float64
	for i, v := range one[0].Embedding {
		if one[2].Embedding[i] != v {
			t.Errorf("embedding of the same input: got %v, want %v", one[2].Embedding, one[0].Embedding)
			break
		}
		sum += float64(v) * float64(one[1].Embedding[i])
	}
	if math.Abs(sum) >= 1 {
		t.Errorf("embeddings: got a product of %v, want less than 1", sum)
	}
	b64 := vector("one", openai.EmbeddingEncodingFormatBase64, 3)
	check(t, "embedding in base64", len(b64[0].Embedding), 3)
	check(t, "embedding of tokens", len(vector([]int{1, 2, 3}, "", 0)), 1)

	models, err := c.ListModels(ctx)
	if err != nil || len(models.Models) == 0 {
		t.Errorf("models: got %v, %v, want some", models, err)
	}
	model, err := c.GetModel(ctx, "org/m1")
	if err != nil || model.ID != "org/m1" {
		t.Errorf("model: got %v, %v, want org/m1", model.ID, err)
	}

	file, err := c.CreateFileBytes(ctx, openai.FileBytesRequest{Name: "a.jsonl", Bytes: []byte("{}\n{}\n"), Purpose: "batch"})
	if err != nil {
		t.Fatal(err)
	}
	if file.FileName != "a.jsonl" || file.Bytes != 6 || file.Purpose != "batch" || file.ID == "" {
		t.Errorf("file: got %+v, want what was uploaded", file)
	}
	if files, err := c.ListFiles(ctx); err != nil || len(files.Files) != 1 || files.Files[0].ID != file.ID {
		t.Errorf("files: got %v, %v, want the one", files, err)
	}
	if got, err := c.GetFile(ctx, "file-7"); err != nil || got.ID != "file-7" {
		t.Errorf("file: got %v, %v, want file-7", got.ID, err)
	}
	content, err := c.GetFileContent(ctx, "file-7")
	if err != nil {
		t.Fatal(err)
	}
	content.Close()
	if err := c.DeleteFile(ctx, "file-7"); err != nil {
		t.Error(err)
	}

	for _, format := range []string{"url", "b64_json"} {
		image, err := c.CreateImage(ctx, openai.ImageRequest{Prompt: "a cat", ResponseFormat: format})
		if err != nil || (image.Data[0].URL == "") != (format == "b64_json") || (image.Data[0].B64JSON == "") != (format == "url") {
			t.Errorf("image as %s: got %+v, %v, want that", format, image.Data, err)
		}
	}

	_, err = c.CreateSpeech(ctx, openai.CreateSpeechRequest{Model: "m1", Input: "hi", Voice: "alloy"})
	var apiErr *openai.APIError
	if !errors.As(err, &apiErr) || apiErr.HTTPStatusCode != 404 || apiErr.Message != "openai error: Invalid URL (POST /v1/audio/speech)" {
		t.Errorf("speech: got %v, want that there is none", err)
	}
}

// events returns the names and the data of a stream.
func events(t *testing.T, stream string) (names []string, data []map[string]any) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(stream))
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			names = append(names, name)
		}
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var d map[string]any
			if err := json.Unmarshal([]byte(text), &d); err != nil {
				t.Errorf("event %s: %v", text, err)
			}
			data = append(data, d)
		}
	}
	return names, data
}

func TestResponses(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	_, body := send(t, gw, "POST", "/responses", on("Provider", "openai"), `{"model":"m1","input":[
		{"role":"user","content":"one"},{"role":"user","content":[{"type":"input_text","text":"two three"}]}]}`)
	var got struct {
		Object, Status, Model string
		Output                []struct {
			Type    string
			Content []struct{ Type, Text string }
		}
		Usage struct {
			Input int `json:"input_tokens"`
			Total int `json:"total_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	check(t, "response", got.Object+" "+got.Status+" "+got.Model, "response completed m1")
	check(t, "text", got.Output[0].Content[0].Text, "You said: two three")
	check(t, "tokens", got.Usage.Input*100+got.Usage.Total, 307)

	resp, body := send(t, gw, "POST", "/responses", on("Provider", "openai"), `{"model":"m1","input":"hi","stream":true}`)
	check(t, "content type", resp.Header.Get("Content-Type"), "text/event-stream")
	names, data := events(t, body)
	check(t, "events", strings.ReplaceAll(strings.Join(names, " "), "response.", ""),
		"created in_progress output_item.added content_part.added output_text.delta output_text.delta output_text.delta "+
			"output_text.done content_part.done output_item.done completed")
	text := ""
	for i, d := range data {
		check(t, "type", d["type"], any(names[i]))
		check(t, "sequence number", d["sequence_number"], any(float64(i)))
		if delta, ok := d["delta"].(string); ok {
			text += delta
		}
	}
	check(t, "text", text, "You said: hi")
}

func TestMessages(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	const message = `{"model":"m1","max_tokens":9,"messages":[{"role":"user","content":"hi there"}]`
	_, body := send(t, gw, "POST", "/messages", on("Provider", "anthropic"), message+`}`)
	var got struct {
		Type, Role, Model string
		Content           []struct{ Type, Text string }
		Stop              string `json:"stop_reason"`
		Usage             struct {
			Input  int `json:"input_tokens"`
			Output int `json:"output_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	check(t, "message", got.Type+" "+got.Role+" "+got.Model+" "+got.Stop, "message assistant m1 end_turn")
	check(t, "text", got.Content[0].Text, "You said: hi there")
	check(t, "tokens", got.Usage.Input*100+got.Usage.Output, 204)

	_, body = send(t, gw, "POST", "/messages", on("Provider", "anthropic"), message+`,"stream":true}`)
	names, data := events(t, body)
	check(t, "events", strings.Join(names, " "), "message_start content_block_start ping content_block_delta content_block_delta "+
		"content_block_delta content_block_delta content_block_stop message_delta message_stop")
	text := ""
	for i, d := range data {
		check(t, "type", d["type"], any(names[i]))
		if delta, ok := d["delta"].(map[string]any); ok && delta["text"] != nil {
			text += delta["text"].(string)
		}
	}
	check(t, "text", text, "You said: hi there")

	_, body = send(t, gw, "POST", "/messages/count_tokens", on("Provider", "anthropic"), message+`}`)
	check(t, "count", body, `{"input_tokens":2}`)
}

func TestOddRequestsAreAnswered(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	for body, want := range map[string]string{
		`{}`: "You said: nothing", `null`: "You said: nothing", `[]`: "You said: nothing",
		`{"messages":"hi"}`: "You said: hi", `{"messages":[]}`: "You said: nothing", `{"messages":[1,{"content":null}]}`: "You said: nothing",
	} {
		resp, got := post(t, gw, on("Provider", "openai"), body)
		check(t, body, resp.StatusCode, 200)
		contains(t, body, got, `"content":"`+want+`"`)
	}
	header := on("Provider", "openai")
	header.Del("Content-Type")
	resp, body := post(t, gw, header, hi)
	check(t, "without content type", resp.StatusCode, 400)
	contains(t, "without content type", body, "We could not parse the JSON body")

	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	w.WriteField("purpose", "batch")
	w.Close()
	header = on("Provider", "openai")
	header.Set("Content-Type", w.FormDataContentType())
	resp, body = send(t, gw, "POST", "/files", header, form.String())
	check(t, "no file", resp.StatusCode, 400)
	contains(t, "no file", body, "'file' is a required property")

	resp, body = send(t, gw, "HEAD", "/models", on("Provider", "openai"), "")
	check(t, "head", resp.Status+body, "500 Internal Server Error") // of a JSON body that is not there
	resp, _ = send(t, gw, "HEAD", "/models", http.Header{"X-Portkey-Provider": {"openai"}}, "")
	check(t, "head", resp.StatusCode, 200)
}
