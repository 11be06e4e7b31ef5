// Command openai-go calls OpenAI through the Portkey gateway, with OpenAI's Go SDK. Only
// its http.Client is replaced.
//
//	go -C examples/openai-go run .
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"slices"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	var opts portkey.Options
	if os.Getenv("PORTKEY_API_KEY") == "" && os.Getenv("PORTKEY_BASE_URL") == "" {
		gateway := portkeytest.Start() // without a key: a gateway inside this program
		defer gateway.Close()
		opts.BaseURL = gateway.URL()
	}
	c, err := portkey.WrapClient(nil, opts)
	if err != nil {
		return err
	}
	client := openai.NewClient(
		option.WithHTTPClient(c),
		option.WithAPIKey(cmp.Or(os.Getenv("OPENAI_API_KEY"), "none")), // the SDK demands a key, even if Portkey has it
	)
	params := openai.ChatCompletionNewParams{
		Model:    "gpt-4o-mini",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Say this is a test")},
	}

	// The SDK retries failed calls. With a trace in the context, all attempts have the same.
	ctx, trace := portkey.WithNewTrace(ctx)
	var info portkey.ResponseInfo
	answer, err := client.Chat.Completions.New(portkey.WithResponseInfo(ctx, &info), params)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, answer.Choices[0].Message.Content)
	fmt.Fprintf(out, "provider %s, same trace: %t\n", info.Provider, info.TraceID == trace)

	stream := client.Chat.Completions.NewStreaming(portkey.WithMetadata(ctx, portkey.Metadata{"_user": "u-17"}), params)
	defer stream.Close()
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			fmt.Fprint(out, choice.Delta.Content)
		}
	}
	fmt.Fprintln(out)
	return stream.Err()
}

// failedGuardrails returns the results of the guardrails that failed. The SDK cannot tell
// status 246, with which Portkey reports them, from 200.
func failedGuardrails(answer *openai.ChatCompletion) (failed []portkey.HookResult, err error) {
	var body struct {
		HookResults portkey.HookResults `json:"hook_results"`
	}
	if err := json.Unmarshal([]byte(answer.RawJSON()), &body); err != nil {
		return nil, err
	}
	for _, hook := range slices.Concat(body.HookResults.BeforeRequestHooks, body.HookResults.AfterRequestHooks) {
		if !hook.Verdict {
			failed = append(failed, hook)
		}
	}
	return failed, nil
}
