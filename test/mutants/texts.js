/** Stryker's plug-in that leaves out the mutants of texts for a reader. */
import { declareValuePlugin, PluginKind } from '@stryker-mutator/api/plugin';

/** @param {any} path Babel's path to a node of the source */
function shouldIgnore(path) {
  const { node } = path;
  const isText =
    (path.isStringLiteral() && node.value.includes(' ')) ||
    (path.isTemplateLiteral() && node.quasis.some(({ value }) => value.raw.includes(' ')));
  return isText ? 'a text for a reader' : undefined;
}

export const strykerPlugins = [declareValuePlugin(PluginKind.Ignore, 'texts', { shouldIgnore })];
