// Command prompts renders a prompt that is saved at Portkey, sends the result with
// go-openai, and posts feedback for its trace. Portkey's own endpoints are called by plain
// HTTP, through the same http.Client.
//
//	go run ./examples/prompts
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

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
	opts := portkey.Options{
		BaseURL:       cmp.Or(os.Getenv("PORTKEY_BASE_URL"), portkey.DefaultBaseURL),
		ProviderSlugs: map[string]string{"openai": "@openai-prod"},
	}
	if os.Getenv("PORTKEY_API_KEY") == "" && os.Getenv("PORTKEY_BASE_URL") == "" {
		gateway := portkeytest.Start() // without a key: a gateway inside this program
		defer gateway.Close()
		opts.BaseURL = gateway.URL()
	}
	client, err := portkey.WrapClient(nil, opts)
	if err != nil {
		return err
	}

	// The rendered prompt has the format of OpenAI's request, so go-openai's type fits.
	var rendered struct{ Data openai.ChatCompletionRequest }
	err = post(ctx, client, opts.BaseURL+"/prompts/pp-greeting/render", map[string]any{
		"variables": map[string]string{"name": "Ada"},
		"model":     openai.GPT4oMini, // overrides the saved one
	}, &rendered)
	if err != nil {
		return err
	}

	cfg := openai.DefaultConfig("") // Portkey has the key
	cfg.HTTPClient = client
	var info portkey.ResponseInfo
	answer, err := openai.NewClientWithConfig(cfg).CreateChatCompletion(portkey.WithResponseInfo(ctx, &info), rendered.Data)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, answer.Choices[0].Message.Content)

	var feedback struct{ Status string }
	err = post(ctx, client, opts.BaseURL+"/feedback", map[string]any{"trace_id": info.TraceID, "value": 10}, &feedback)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "feedback:", feedback.Status)
	return nil
}

// post sends a JSON object to one of Portkey's endpoints and decodes the response.
func post(ctx context.Context, client *http.Client, url string, body, result any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", req.URL.Path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(result)
}
