// Usage: node kql.js FUNCTION.kql QUERIES.json
// QUERIES.json is a list of [name, query]. Prints a list of [name, [what Kusto's language service has against it]]: syntax, and names that
// are neither a column of CommonSecurityLog nor of what FUNCTION.kql makes of it.
const fs = require('fs');
require('@kusto/language-service-next/bridge.min.js');
require('@kusto/language-service-next/Kusto.Language.Bridge.min.js');
const { KustoCode, GlobalState, Symbols } = globalThis.Kusto.Language;

// Of Azure Monitor's table CommonSecurityLog, by type; those that CEF's keys go to.
const columns = {
  string: `Activity AdditionalExtensions ApplicationProtocol CommunicationDirection Computer DestinationDnsDomain DestinationHostName
    DestinationIP DestinationServiceName DestinationUserID DestinationUserName DeviceAction DeviceAddress DeviceCustomIPv6Address1
    DeviceCustomIPv6Address2 DeviceCustomIPv6Address3 DeviceCustomString1 DeviceCustomString2 DeviceCustomString3 DeviceCustomString4
    DeviceCustomString5 DeviceCustomString6 DeviceEventCategory DeviceEventClassID DeviceFacility DeviceName DeviceProduct DeviceVendor
    DeviceVersion EventOutcome ExtID LogSeverity Message Protocol Reason ReceiptTime SourceHostName SourceIP SourceUserID SourceUserName`,
  datetime: 'TimeGenerated StartTime EndTime',
  int: 'SourcePort DestinationPort',
  long: 'FieldDeviceCustomNumber1 FieldDeviceCustomNumber2 FieldDeviceCustomNumber3',
};
const schema = Object.entries(columns).flatMap(([type, names]) => names.trim().split(/\s+/).map((name) => `${name}: ${type}`)).join(', ');

const [functionFile, queriesFile] = process.argv.slice(2);
const table = Symbols.TableSymbol.From(`(${schema})`).WithName('CommonSecurityLog');
const own = new Symbols.FunctionSymbol.$ctor16('Relayscope', '()', `{ ${fs.readFileSync(functionFile, 'utf8')}\n}`);
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.$ctor1('workspace', [table, own]));

const answers = JSON.parse(fs.readFileSync(queriesFile, 'utf8')).map(([name, query]) => {
  const found = KustoCode.ParseAndAnalyze(query, globals).GetDiagnostics();
  const wrong = [];
  for (let at = 0; at < found.Count; at += 1) {
    const it = found.getItem(at);
    wrong.push(`${it.Severity}: ${it.Message} (${query.slice(it.Start, it.Start + it.Length)})`);
  }
  return [name, wrong];
});
console.log(JSON.stringify(answers));
